//! Writes the text of a telemetry file.

use std::fmt::Write as _;

use super::{
    choose::{Readings, Rule, Time},
    records::Layout,
};

/// Where editors find the JSON Schema of the file.
const SCHEMA: &str =
    "https://raw.githubusercontent.com/devicestate/devicestate/main/docs/reference/telemetry.schema.json";

/// Returns the text of the file.
pub(super) fn file(layout: &Layout, device: &[String], time: Option<&Time>, readings: &Readings) -> String {
    let mut members = vec![format!("\"$schema\": {}", text(SCHEMA))];
    members.push(match device {
        [device] => format!("\"device\": {}", text(device)),
        devices => {
            format!("\"device\": [{}]", devices.iter().map(|device| text(device)).collect::<Vec<_>>().join(", "))
        }
    });
    if let Some(Time { from, format, is_newest, .. }) = time {
        let newest = if *is_newest { "device" } else { "service" };
        members.push(format!(
            "\"time\": {{ \"from\": {}, \"format\": \"{format}\", \"newest\": \"{newest}\" }}",
            text(from)
        ));
    }
    if let Layout::Records { pointer } = layout {
        members.push(format!("\"records\": {}", text(pointer)));
    }
    let mut rules: Vec<_> =
        readings.rules.iter().map(|(name, rule)| format!("    {}: {}", text(name), self::rule(rule))).collect();
    match layout {
        Layout::NamedValues { pointer, name, value } => rules.push(format!(
            "    \"*\": {{ \"from\": {}, \"name\": {}, \"value\": {} }}",
            text(pointer),
            text(name),
            text(value)
        )),
        _ if rules.is_empty() => rules.push("    \"*\": \"\"".into()),
        _ => {}
    }
    members.push(format!("\"readings\": {{\n{}\n  }}", rules.join(",\n")));
    format!("{{\n  {}\n}}\n", members.join(",\n  "))
}

fn rule(Rule { from, kind, format }: &Rule) -> String {
    let Some(kind) = kind else { return text(from) };
    let mut rule = format!("{{ \"from\": {}, \"type\": \"{kind}\"", text(from));
    if let Some(format) = format {
        let _ = write!(rule, ", \"format\": \"{format}\"");
    }
    rule + " }"
}

/// Returns a text as JSON.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
