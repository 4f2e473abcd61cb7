//! Finds one dead letter in the queue, formats its telemetry, and builds the query that finds its log.

use async_trait::async_trait;
use devicestate_engine::{
    dead_letter::{DeadLetter, ID_DIGITS},
    telemetry::Telemetry,
    text::iso8601,
};

use super::{
    Entry, Filter, MessageAction, MessageVisitor, ScanError, VisitResult, pretty::indent_json,
    replay::replayer::rebuild_event,
};

/// Finds messages, each dead letter once.
#[derive(Debug, Default)]
pub struct Finder {
    filter: Filter,
    reads_all: bool,
    found: Vec<Entry>,
}

impl Finder {
    /// Creates a finder of the messages that a filter matches. It is complete when every message that the filter names by its
    /// full id is found.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, reads_all: false, found: Vec::new() }
    }

    /// Reads all messages: another message may have the same id and another content.
    #[must_use]
    pub fn reading_all(self) -> Self {
        Self { reads_all: true, ..self }
    }

    /// Returns the messages found, each dead letter once.
    #[must_use]
    pub fn into_found(self) -> Vec<Entry> {
        self.found
    }

    /// Returns true if only repeats are expected.
    fn is_complete(&self) -> bool {
        let is_full = |id: &String| id.len() == ID_DIGITS;
        let Filter { ids, messages, .. } = &self.filter;
        !self.reads_all
            && self.filter.has_ids()
            && ids.iter().all(is_full)
            && self.found.len() == ids.len() + messages.len()
    }
}

#[async_trait]
impl MessageVisitor for Finder {
    async fn visit(&mut self, entries: &[Entry]) -> Result<VisitResult, ScanError> {
        for entry in entries {
            let is_repeat = |found: &Entry| entry.identity().is_some() && found.identity() == entry.identity();
            if self.filter.selects(entry) && !self.found.iter().any(is_repeat) {
                self.found.push(Entry::parse(entry.message.clone()));
            }
        }
        Ok(VisitResult { actions: vec![MessageAction::Keep; entries.len()], is_complete: self.is_complete() })
    }
}

/// A body as readable text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadableBody {
    /// The form of the text.
    pub form: BodyForm,
    /// The text.
    pub text: String,
}

/// The form in which a body is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// JSON, indented; digits and the order of members are kept.
    Json,
    /// Another format of the devices, shown as the JSON that decodes to the same.
    AsJson,
    /// Text of an unknown format.
    Text,
    /// Other bytes, in hexadecimal digits.
    Hexadecimal,
    /// An empty body.
    Empty,
}

/// Returns the body of a dead letter's event as readable text.
#[must_use]
pub fn readable_body(letter: &DeadLetter, body: &[u8], telemetry: &dyn Telemetry) -> ReadableBody {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if body.is_empty() {
        return ReadableBody { form: BodyForm::Empty, text: String::new() };
    }
    let json = str::from_utf8(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)).ok().and_then(indent_json);
    if let Some(text) = json {
        return ReadableBody { form: BodyForm::Json, text };
    }
    if let Some(value) = telemetry.to_json(&rebuild_event(letter, body.to_vec())) {
        let text = serde_json::to_string_pretty(&value).expect("a value is always JSON");
        return ReadableBody { form: BodyForm::AsJson, text };
    }
    match str::from_utf8(body) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => {
            ReadableBody { form: BodyForm::Text, text: text.to_owned() }
        }
        _ => ReadableBody { form: BodyForm::Hexadecimal, text: hexadecimal(body) },
    }
}

/// Returns sixteen bytes per line: offset, bytes and ASCII characters.
fn hexadecimal(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).enumerate().map(|(line, bytes)| {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let letter = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        format!("{:08x}  {:47}  {}", line * 16, digits.join(" "), bytes.iter().map(letter).collect::<String>())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the query that finds the log of a dead letter and of its invocation in Log Analytics.
#[must_use]
pub fn log_query(letter: &DeadLetter) -> String {
    const HOUR_MS: i64 = 3_600_000;
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let time = letter.time.parse::<jiff::Timestamp>().ok().map(|time| {
        let at = |ms: i64| iso8601(time.as_millisecond() + ms);
        format!("| where TimeGenerated between (datetime({}) .. datetime({}))\n", at(-HOUR_MS), at(HOUR_MS))
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
