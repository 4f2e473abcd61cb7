//! The events of exported dead letters.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{
    dead_letter::{DeadLetter, event_body},
    failure::Stage,
};
use devicestate_terminal::{count_of, print_message};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{event::FileEvent, text::Lines};

/// A line of `dead-letters export`; the aliases are the names of release 0.1.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportLine {
    #[serde(alias = "MessageId")]
    message_id: String,
    #[serde(alias = "Message")]
    message: Option<Box<RawValue>>,
    #[serde(alias = "Base64")]
    base64: Option<String>,
    #[serde(alias = "Whole")]
    complete_dead_letter: Option<Box<RawValue>>,
    complete_base64: Option<String>,
}

/// Returns true for a line of an export, and for a dead letter as it is in the queue.
pub(crate) fn is_line_of_export(line: &[u8]) -> bool {
    let is_export = |line: ExportLine| !line.message_id.is_empty() && (line.message.is_some() || line.base64.is_some());
    serde_json::from_slice(line).is_ok_and(is_export) || serde_json::from_slice::<DeadLetter>(line).is_ok()
}

/// The events of a file of dead letters. Lines without a complete event are skipped and reported at the end.
pub(crate) struct DeadLetters {
    lines: Lines,
    skipped: u64,
    first_skipped: String,
}

impl DeadLetters {
    pub(crate) fn new(lines: Lines) -> Self {
        Self { lines, skipped: 0, first_skipped: String::new() }
    }

    pub(crate) fn next_event(&mut self) -> Result<Option<FileEvent>, String> {
        while let Some((number, line)) = self.lines.next_line()? {
            match read_event(&line) {
                Ok(event) => return Ok(Some(FileEvent { line: Some(number), ..event })),
                Err(reason) => {
                    if self.skipped == 0 {
                        self.first_skipped = format!("line {number}: {reason}");
                    }
                    self.skipped += 1;
                }
            }
        }
        if self.skipped > 0 {
            let lines = count_of(self.skipped, "line");
            print_message(format_args!(
                "devicestate: warning: {lines} without a complete event skipped, the first is {}",
                self.first_skipped
            ));
            self.skipped = 0;
        }
        Ok(None)
    }
}

/// Returns the event of a dead letter.
fn read_event(line: &[u8]) -> Result<FileEvent, String> {
    let letter = read_dead_letter(line)?;
    let body = event_body(&letter)?;
    let data = &letter.event_data;
    if letter.stage == Stage::Envelope && data.sequence_number.is_none() {
        return Err("it contains a request of the host, not an event".into());
    }
    // Dead letters of earlier versions have numbers as text, and a time in two pairs of quotes.
    let text = |cell: &Option<Box<RawValue>>| {
        let text = cell.as_ref()?.get().trim_matches(['"', '\\']).to_owned();
        (text != "null").then_some(text)
    };
    Ok(FileEvent {
        line: None,
        body,
        partition_key: parse(data.partition_key.as_deref()),
        sequence_number: text(&data.sequence_number).and_then(|text| text.parse().ok()),
        enqueued_time: text(&data.enqueued_time_utc),
        properties: parse(data.properties.as_deref()).unwrap_or_default(),
        system_properties: parse(data.system_properties.as_deref()).unwrap_or_default(),
    })
}

fn read_dead_letter(line: &[u8]) -> Result<DeadLetter, String> {
    let not_dead_letter = |error: serde_json::Error| format!("it is not a dead letter: {error}");
    let Ok(line) = serde_json::from_slice::<ExportLine>(line) else {
        return serde_json::from_slice(line).map_err(not_dead_letter);
    };
    let from_base64 = |text: String| BASE64.decode(text).map_err(|error| format!("it is not valid base64: {error}"));
    let json = match line {
        ExportLine { complete_dead_letter: Some(json), .. } => json.get().as_bytes().to_vec(),
        ExportLine { complete_base64: Some(text), .. } => from_base64(text)?,
        ExportLine { message: Some(json), .. } => json.get().as_bytes().to_vec(),
        ExportLine { base64: Some(text), .. } => from_base64(text)?,
        _ => return Err("it has no message".into()),
    };
    serde_json::from_slice(&json).map_err(not_dead_letter)
}

/// Parses a cell; `None` if it is absent or has another type.
fn parse<T: DeserializeOwned>(cell: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(cell?.get()).ok()
}
