//! Bodies of events from a template: a text with placeholders.

use std::{fmt::Write as _, fs, io, path::Path};

use devicestate_engine::{
    clock::{Clock as _, System},
    text::{error_message, iso8601},
};
use devicestate_local::hub::Sent;
use serde_json::{Map, Value};

/// The largest template: an event of Event Hubs has at most 1 MiB.
const MAX_BYTES: usize = 1 << 20;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// The file cannot be read.
    #[error("the template {path} cannot be read: {reason} (option --template)")]
    Unreadable {
        /// Its path.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The file is not a template.
    #[error("the template {path} is not valid: line {line}: {reason} (option --template)")]
    Invalid {
        /// Its path.
        path: String,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A line is not JSON.
    #[error("the template {path} cannot be packed: {body} is not a JSON object (option --pack)")]
    NotPackable {
        /// Its path.
        path: String,
        /// The body that the line results in.
        body: String,
    },
}

/// A template: each line is the body of an event, and the events of a device take the lines in turn.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    lines: Vec<Vec<Part>>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    /// `{device}`: the device id.
    Device,
    /// `{number}`: the number of the event of its device, from 1.
    Number,
    /// `{number:0..10}`: a number from 0 to 10 with two decimals, which the seed decides.
    Random(f64, f64),
    /// `{time}`: the time at which the event is created, as RFC 3339 in UTC.
    Time,
    /// `{unix_ms}`: the same, in milliseconds since 1970.
    UnixMs,
}

impl Template {
    /// Reads a template. Empty lines are left out.
    pub(crate) fn read(path: &Path) -> Result<Self, TemplateError> {
        let name = path.display().to_string();
        let unreadable =
            |error: io::Error| TemplateError::Unreadable { path: name.clone(), reason: error_message(&error) };
        let bytes = fs::read(path).map_err(unreadable)?;
        let invalid = |line, reason| TemplateError::Invalid { path: name.clone(), line, reason };
        if bytes.len() > MAX_BYTES {
            return Err(invalid(1, format!("it has {} bytes, and an event has at most {MAX_BYTES}", bytes.len())));
        }
        let text = String::from_utf8(bytes).map_err(|_| invalid(1, "it is not UTF-8".to_owned()))?;
        let lines = text.trim_start_matches('\u{feff}').lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let lines: Vec<_> = lines
            .map(|(line, number)| parse(line).map_err(|reason| invalid(number, reason)))
            .collect::<Result<_, _>>()?;
        if lines.is_empty() { Err(invalid(1, "it is empty".to_owned())) } else { Ok(Self { lines }) }
    }

    /// Returns the events of these turns: each device with the number of its event. The seed decides the numbers of a device,
    /// whatever the turns are.
    pub(crate) fn events(
        self,
        turns: impl Iterator<Item = (u32, u64)> + Send,
        devices: u32,
        seed: u64,
    ) -> impl Iterator<Item = Sent> + Send {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let mut random: Vec<_> = (0..devices).map(|_| seeds.fork()).collect();
        turns.map(move |(device, number)| {
            let random = &mut random[device as usize];
            let device = format!("device-{device:05}");
            let line = usize::try_from((number - 1) % self.lines.len() as u64).expect("less than the lines");
            let body = fill(&self.lines[line], &device, number, random).into_bytes();
            Sent { body, partition_key: Some(device), content_type: Some("application/json"), ..Sent::default() }
        })
    }

    /// Returns an error unless each line is a JSON object, which several records of an event must be.
    pub(crate) fn check_is_json(&self, path: &Path) -> Result<(), TemplateError> {
        let mut random = fastrand::Rng::with_seed(0);
        let mut bodies = self.lines.iter().map(|line| fill(line, "device", 1, &mut random));
        let Some(body) = bodies.find(|body| serde_json::from_str::<Map<String, Value>>(body).is_err()) else {
            return Ok(());
        };
        Err(TemplateError::NotPackable { path: path.display().to_string(), body })
    }
}

/// Divides a line into text and placeholders. Other text in braces is left as it is, because JSON has braces.
fn parse(line: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut text, mut rest) = (Vec::new(), String::new(), line);
    while let Some(begin) = rest.find('{') {
        let after = &rest[begin + 1..];
        let placeholder = after.split_once('}').map(|(name, following)| Ok::<_, String>((part(name)?, following)));
        text += &rest[..begin];
        if let Some((Some(part), following)) = placeholder.transpose()? {
            parts.extend([Part::Text(std::mem::take(&mut text)), part]);
            rest = following;
        } else {
            text.push('{');
            rest = after;
        }
    }
    parts.push(Part::Text(text + rest));
    Ok(parts)
}

/// Returns the placeholder of this name; `None` for other text in braces.
fn part(name: &str) -> Result<Option<Part>, String> {
    Ok(Some(match name {
        "device" => Part::Device,
        "number" => Part::Number,
        "time" => Part::Time,
        "unix_ms" => Part::UnixMs,
        _ if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') => {
            return Err(format!(
                "{{{name}}} is not a placeholder: use {{device}}, {{number}}, {{number:0..10}}, {{time}} or {{unix_ms}}"
            ));
        }
        _ => match name.strip_prefix("number:") {
            None => return Ok(None),
            Some(range) => {
                let bounds = range.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
                let bounds = bounds.filter(|(from, to): &(f64, f64)| from.is_finite() && to.is_finite() && from < to);
                let (from, to) =
                    bounds.ok_or_else(|| format!("{{{name}}} must be a range such as {{number:0..10}}"))?;
                Part::Random(from, to)
            }
        },
    }))
}

fn fill(line: &[Part], device: &str, number: u64, random: &mut fastrand::Rng) -> String {
    let mut body = String::new();
    for part in line {
        match part {
            Part::Text(text) => body += text,
            Part::Device => body += device,
            Part::Number => body += &number.to_string(),
            Part::Random(from, to) => {
                let number = from + random.f64() * (to - from);
                write!(body, "{number:.2}").expect("a String accepts every text");
            }
            Part::Time => body += &iso8601(System.now_ms()),
            Part::UnixMs => body += &System.now_ms().to_string(),
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::turns;

    fn bodies(template: &str, devices: u32, events: u64) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("template.jsonl");
        fs::write(&path, template).expect("a file");
        let events = Template::read(&path).expect("a template").events(turns(devices, events, 1), devices, 7);
        events.map(|sent| String::from_utf8(sent.body).expect("text")).collect()
    }

    #[test]
    fn devices_take_turns_and_each_takes_the_lines_in_turn() {
        let bodies = bodies("{\"deviceId\":\"{device}\",\"n\":{number}}\n\n{\"id\":\"{device}\"}\n", 2, 3);
        let first = |device: u8, number: u8| format!(r#"{{"deviceId":"device-0000{device}","n":{number}}}"#);
        let second = |device: u8| format!(r#"{{"id":"device-0000{device}"}}"#);
        assert_eq!(bodies, [first(0, 1), first(1, 1), second(0), second(1), first(0, 3), first(1, 3)]);
    }

    #[test]
    fn a_range_gives_numbers_within_it_and_the_seed_decides_them() {
        let line = r#"{"p":{number:-1.5..2},"t":"{time}","ms":{unix_ms}}"#;
        let values = |bodies: Vec<String>| -> Vec<f64> {
            let values = bodies.iter().map(|body| serde_json::from_str::<serde_json::Value>(body).expect("JSON"));
            values
                .map(|value| {
                    assert!(value["t"].as_str().is_some_and(|time| time.ends_with('Z')), "{value}");
                    assert!(value["ms"].as_i64() > Some(1_600_000_000_000), "{value}");
                    value["p"].as_f64().expect("a number")
                })
                .collect()
        };
        let numbers = values(bodies(line, 1, 500));
        assert!(numbers.iter().all(|number| (-1.5..=2.0).contains(number)), "{numbers:?}");
        assert!(numbers.iter().any(|number| *number < 0.0) && numbers.iter().any(|number| *number > 1.0));
        assert_eq!(numbers, values(bodies(line, 1, 500)));
    }

    #[test]
    fn a_template_that_is_not_valid_is_an_error_with_the_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("template.jsonl");
        for (content, expected) in [
            ("{}\n{devise}", "line 2: {devise} is not a placeholder: use {device}"),
            ("{number:1..1}", "line 1: {number:1..1} must be a range such as {number:0..10}"),
            ("{number:a..}", "must be a range"),
            (" \n", "line 1: it is empty"),
        ] {
            fs::write(&path, content).expect("a file");
            let error = Template::read(&path).expect_err("an invalid template").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let missing = Template::read(&folder.path().join("missing")).expect_err("no file").to_string();
        assert!(missing.contains("cannot be read") && missing.contains("--template"), "{missing}");
    }
}
