//! One dead letter under the glass: found in the queue, its telemetry made readable, the query that leads to its log.

use async_trait::async_trait;
use devicestate_engine::{dead_letter::DeadLetter, telemetry::Telemetry, text::iso8601};

use super::{Entry, Filter, Judge, Judged, TriageError, pretty::pretty, replay::event, sweep::Fate};

/// Looks for messages, and ends when what was named whole is found.
#[derive(Debug, Default)]
pub struct Find {
    filter: Filter,
    found: Vec<Entry>,
}

impl Find {
    /// Looks for what this filter means.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, found: Vec::new() }
    }

    /// What was found, each dead letter once.
    #[must_use]
    pub fn into_found(self) -> Vec<Entry> {
        self.found
    }

    /// Whether nothing that is looked for can come any more, but repeats.
    fn is_complete(&self) -> bool {
        let is_whole = |id: &String| id.len() == 32;
        let Filter { ids, messages, .. } = &self.filter;
        self.filter.names_them() && ids.iter().all(is_whole) && self.found.len() == ids.len() + messages.len()
    }
}

#[async_trait]
impl Judge for Find {
    async fn judge(&mut self, entries: &[Entry]) -> Result<Judged, TriageError> {
        for entry in entries {
            let id = |entry: &Entry| entry.letter().map(|letter| letter.id.clone());
            let is_repeat = id(entry).is_some() && self.found.iter().any(|found| id(found) == id(entry));
            if self.filter.means(&entry.summary()) && !is_repeat {
                self.found.push(Entry::read(entry.message.clone()));
            }
        }
        Ok(Judged { fates: vec![Fate::Keep; entries.len()], is_enough: self.is_complete() })
    }
}

/// A body as a person can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    /// In which form it is shown.
    pub form: Form,
    /// The text.
    pub text: String,
}

/// In which form a body is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is JSON, here with line ends, and else as it came: each digit, and members in their order.
    Json,
    /// It is another format of the devices, here as the JSON that decodes to the same.
    AsJson,
    /// It is text of which nothing more is known.
    Text,
    /// It is none of these: bytes in hexadecimal digits.
    Hexadecimal,
    /// There is nothing in it.
    Empty,
}

/// The body of a dead letter's event as a person can read it.
#[must_use]
pub fn readable(letter: &DeadLetter, body: &[u8], telemetry: &dyn Telemetry) -> Readable {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if body.is_empty() {
        return Readable { form: Form::Empty, text: String::new() };
    }
    let json = str::from_utf8(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)).ok().and_then(pretty);
    if let Some(text) = json {
        return Readable { form: Form::Json, text };
    }
    if let Some(value) = telemetry.to_json(&event(letter, body.to_vec())) {
        let text = serde_json::to_string_pretty(&value).expect("a value is always JSON");
        return Readable { form: Form::AsJson, text };
    }
    match str::from_utf8(body) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => {
            Readable { form: Form::Text, text: text.to_owned() }
        }
        _ => Readable { form: Form::Hexadecimal, text: hexadecimal(body) },
    }
}

/// Sixteen bytes a line: where they are, what they are, and what they would be as letters.
fn hexadecimal(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).enumerate().map(|(line, bytes)| {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let letter = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        format!("{:08x}  {:47}  {}", line * 16, digits.join(" "), bytes.iter().map(letter).collect::<String>())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The query that finds in Log Analytics what was told of a dead letter, and the rest of its invocation.
#[must_use]
pub fn log_query(letter: &DeadLetter) -> String {
    const AN_HOUR_MS: i64 = 3_600_000;
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let time = letter.time.parse::<jiff::Timestamp>().ok().map(|time| {
        let at = |ms: i64| iso8601(time.as_millisecond() + ms);
        format!("| where TimeGenerated between (datetime({}) .. datetime({}))\n", at(-AN_HOUR_MS), at(AN_HOUR_MS))
    });
    let invocation = Some(&letter.invocation_id).filter(|id| !id.is_empty());
    let invocation = invocation.map(|id| format!(" or tostring(Properties.InvocationId) == {}", quoted(id)));
    format!(
        "AppTraces\n{}| where Message has {}{}\n\
         | project TimeGenerated, Message, Invocation = tostring(Properties.InvocationId)\n\
         | order by TimeGenerated asc",
        time.unwrap_or_default(),
        quoted(&letter.id),
        invocation.unwrap_or_default(),
    )
}
