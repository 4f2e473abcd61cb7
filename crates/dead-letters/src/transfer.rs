//! Exports messages of a queue as JSON lines and imports them: to keep them longer than the queue does, or to inspect them
//! on another machine.

use std::{
    io::{self, Write},
    sync::Arc,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{
    dead_letter::{Fingerprint, Overflow, OverflowError, with_members},
    queue::{DeadLetterQueue, Message},
    text::{is_hidden, iso8601},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    AuditWriter, Entry, Filter, MessageAction, MessageVisitor, Outcome, ScanError, VisitResult,
    entry::parse_dead_letter,
};

/// How many dead letters are fetched from the overflow at the same time.
const MAX_CONCURRENT_FETCHES: usize = 16;

/// After this many bytes of large dead letters, an export writes them before it fetches more.
const MAX_FETCHED_BYTES: usize = 16 << 20;

/// A line of an export: one message. The aliases are the names of release 0.1: an export may be the only copy.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExportLine {
    /// The queue's id of the message.
    #[serde(alias = "MessageId")]
    pub message_id: String,
    /// When it was put into the queue, in UTC.
    #[serde(alias = "InsertedTime")]
    pub inserted_time: String,
    /// When the queue would have deleted it, in UTC; `None` for never.
    #[serde(alias = "ExpirationTime")]
    pub expiration_time: Option<String>,
    /// How often it had been received.
    #[serde(alias = "DequeueCount")]
    pub dequeue_count: i64,
    /// Its text, if that is JSON on one line, as every dead letter is.
    #[serde(alias = "Message", skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<RawValue>>,
    /// Its bytes in base64, if they are anything else.
    #[serde(alias = "Base64", skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The complete dead letter, if it did not fit into the message.
    #[serde(alias = "Whole", skip_serializing_if = "Option::is_none")]
    pub complete_dead_letter: Option<Box<RawValue>>,
    /// The same in base64, if its text has hidden characters: a terminal may show the line, and an escape would change the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete_base64: Option<String>,
}

impl ExportLine {
    /// Creates the line of a message, without what is stored in the overflow.
    fn new(Message { id, body, inserted_ms, expires_ms, dequeue_count }: &Message) -> Self {
        let message = single_line_json(body);
        Self {
            message_id: id.clone(),
            inserted_time: iso8601(*inserted_ms),
            expiration_time: expires_ms.map(iso8601),
            dequeue_count: *dequeue_count,
            base64: message.is_none().then(|| BASE64_STANDARD.encode(body)),
            message,
            complete_dead_letter: None,
            complete_base64: None,
        }
    }

    /// Adds the text of the complete dead letter.
    fn add_complete(&mut self, text: &[u8]) {
        self.complete_dead_letter = single_line_json(text);
        self.complete_base64 = self.complete_dead_letter.is_none().then(|| BASE64_STANDARD.encode(text));
    }

    /// Returns the text of the complete dead letter, if the line has one.
    fn complete(self) -> Result<Option<Vec<u8>>, String> {
        match (self.complete_dead_letter, self.complete_base64) {
            (Some(text), None) => Ok(Some(String::from(Box::<str>::from(text)).into_bytes())),
            (None, Some(base64)) => BASE64_STANDARD
                .decode(base64)
                .map(Some)
                .map_err(|error| format!("`completeBase64` is not valid base64: {error}")),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err("expected at most one of `completeDeadLetter` and `completeBase64`".into()),
        }
    }

    /// Returns the bytes of the message.
    fn body(&self) -> Result<Vec<u8>, String> {
        match (&self.message, &self.base64) {
            (Some(message), None) => Ok(message.get().as_bytes().to_vec()),
            (None, Some(base64)) => {
                BASE64_STANDARD.decode(base64).map_err(|error| format!("`base64` is not valid base64: {error}"))
            }
            _ => Err("expected exactly one of `message` and `base64`".into()),
        }
    }
}

/// Returns JSON that fits on one line without hidden characters, byte for byte.
fn single_line_json(text: &[u8]) -> Option<Box<RawValue>> {
    let is_bare = text.trim_ascii().len() == text.len();
    // A null would be read back as a missing member.
    let text = str::from_utf8(text).ok().filter(|text| is_bare && *text != "null" && !text.contains(is_hidden))?;
    serde_json::from_str(text).ok()
}

/// Writes messages as JSON lines, and leaves them in the queue.
pub struct Export<'a> {
    /// Selects the messages. Without conditions, also those that are not dead letters.
    pub filter: &'a Filter,
    /// Where large dead letters are stored.
    pub overflow: Option<Arc<dyn Overflow>>,
    /// Receives the lines.
    pub output: Box<dyn Write + Send + 'a>,
    /// The audit trail.
    pub audit: &'a AuditWriter,
    /// How many messages have been written so far.
    pub written: u64,
    /// The dead letters that could not be fetched from the overflow, with the reasons. Their lines lack the complete dead
    /// letter.
    pub incomplete: Vec<String>,
}

/// Fetches the text of a message's complete dead letter from the overflow: `None` if the message holds it; a reason if this one
/// cannot be fetched; an error if none can be.
async fn fetch_from_overflow(
    entry: &Entry,
    overflow: Option<&dyn Overflow>,
) -> Result<Option<Result<Vec<u8>, String>>, OverflowError> {
    let overflowed = entry.dead_letter().and_then(|letter| Some((letter, letter.overflow.as_ref()?)));
    let Some((letter, pointer)) = overflowed else { return Ok(None) };
    let fetched = match overflow {
        Some(overflow) => match pointer.fetch(overflow).await {
            Err(error) if !error.is_message_specific() => return Err(error),
            fetched => fetched.map_err(|error| error.to_string()),
        },
        None => Err(format!("it is stored at {}, and no setting gives access to it", pointer.location)),
    };
    let complete = fetched.and_then(|text| match letter.parse_complete(&text) {
        Ok(_) => Ok(text),
        Err(reason) => Err(format!("the content of {} {reason}", pointer.location)),
    });
    Ok(Some(complete.map_err(|reason| format!("{}: {reason}", letter.id))))
}

impl Export<'_> {
    /// Writes the lines of some messages.
    async fn write_lines(&mut self, entries: &[&Entry]) -> Result<(), ScanError> {
        let fetches: Vec<_> =
            entries.iter().map(|entry| fetch_from_overflow(entry, self.overflow.as_deref())).collect();
        let complete: Vec<_> = stream::iter(fetches).buffered(MAX_CONCURRENT_FETCHES).try_collect().await?;
        let audit_lines: Vec<_> =
            entries.iter().map(|entry| self.audit.line(&entry.summary(), Outcome::Exported, None)).collect();
        // Before the output: what is written there cannot be undone.
        self.audit.append(&audit_lines).await?;
        for (entry, complete) in entries.iter().zip(complete) {
            let mut line = ExportLine::new(&entry.message);
            match complete {
                Some(Ok(complete)) => line.add_complete(&complete),
                Some(Err(reason)) => self.incomplete.push(reason),
                None => {}
            }
            serde_json::to_writer(&mut self.output, &line).map_err(io::Error::from)?;
            self.output.write_all(b"\n")?;
        }
        self.output.flush()?;
        self.written += entries.len() as u64;
        Ok(())
    }
}

#[async_trait]
impl MessageVisitor for Export<'_> {
    async fn visit(&mut self, entries: &[Entry]) -> Result<VisitResult, ScanError> {
        let selected: Vec<_> = entries.iter().filter(|entry| self.filter.should_export(&entry.summary())).collect();
        // Large dead letters are in memory at the same time only up to a limit.
        let mut bytes = 0;
        let mut rest = &selected[..];
        for (end, entry) in selected.iter().enumerate() {
            let pointer = entry.dead_letter().and_then(|letter| letter.overflow.as_ref());
            bytes = pointer.map_or(bytes, |pointer| pointer.fingerprint.length.saturating_add(bytes));
            if bytes >= MAX_FETCHED_BYTES {
                let (group, after) = rest.split_at(end + 1 - (selected.len() - rest.len()));
                self.write_lines(group).await?;
                (rest, bytes) = (after, 0);
            }
        }
        if !rest.is_empty() {
            self.write_lines(rest).await?;
        }
        Ok(VisitResult { actions: vec![MessageAction::Keep; entries.len()], is_complete: false })
    }
}

/// Parses a line of an export, and returns its message, ready to be put into a queue. A complete dead letter in the line is stored in the
/// overflow first.
///
/// # Errors
///
/// Returns [`ImportError::Line`] if this line is not valid, and [`ImportError::Storage`] if the queue or the overflow failed,
/// and would fail for the next line too.
pub async fn parse_export_line(
    line: &[u8],
    queue: &dyn DeadLetterQueue,
    overflow: Option<&dyn Overflow>,
) -> Result<Entry, ImportError> {
    let line: ExportLine = serde_json::from_slice(line)
        .map_err(|error| ImportError::Line(format!("it is not a line of an export: {error}")))?;
    let mut body = line.body().map_err(ImportError::Line)?;
    if let Some(text) = line.complete().map_err(ImportError::Line)? {
        let invalid = |reason: String| ImportError::Line(format!("its complete dead letter {reason}"));
        let message = parse_dead_letter(&body)
            .map_err(|error| ImportError::Line(format!("its message is not a dead letter: {error}")))?;
        // A replay trusts what is stored here, so it must be what the message points to, and the dead letter of this message:
        // its id becomes a name in the overflow.
        let expected = message.overflow.as_ref().map(|pointer| &pointer.fingerprint);
        if expected != Some(&Fingerprint::of_bytes(&text)) {
            return Err(invalid("does not match the fingerprint in its message: it was changed".into()));
        }
        let letter = message.parse_complete(&text).map_err(invalid)?;
        let Some(overflow) = overflow else {
            return Err(ImportError::Line(
                "it does not fit into the queue, and no setting selects an overflow for it: set `DeadLetterDirectory` to a \
                 folder, or `DeadLetterStorage` to a storage account"
                    .into(),
            ));
        };
        let pointer = letter.store_text_in(text, overflow).await.map_err(ScanError::from)?;
        let pointer = to_raw_value(&pointer).expect("texts and numbers are always JSON");
        body = with_members(&body, [("Overflow", pointer)]).expect("it was parsed as an object").into_bytes();
    }
    queue.accepts(&body).map_err(|error| ImportError::Line(error.to_string()))?;
    Ok(Entry::parse(Message { id: String::new(), body, inserted_ms: 0, expires_ms: None, dequeue_count: 0 }))
}

/// Why a line could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The line is not valid.
    #[error("{0}")]
    Line(String),
    /// The queue or the overflow failed.
    #[error(transparent)]
    Storage(#[from] ScanError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_release_0_1_are_read() {
        let old = r#"{"MessageId":"7","InsertedTime":"t","DequeueCount":3,"Message":{"Id":"1"},"Whole":{"Id":"1"}}"#;
        let line: ExportLine = serde_json::from_str(old).expect("a line");
        assert_eq!((line.message_id.as_str(), line.dequeue_count), ("7", 3));
        assert_eq!(line.body().as_deref(), Ok(&br#"{"Id":"1"}"#[..]));
        assert_eq!(line.complete_dead_letter.as_deref().map(RawValue::get), Some(r#"{"Id":"1"}"#));
        let line: ExportLine = serde_json::from_str(r#"{"Base64":"aGVsbG8="}"#).expect("a line");
        assert_eq!(line.body().as_deref(), Ok(&b"hello"[..]));
    }
}
