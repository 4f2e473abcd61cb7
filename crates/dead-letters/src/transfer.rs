//! Messages out of a queue and into one, as JSON lines: to keep them for longer than the queue does, or to look into them
//! on another machine.

use std::{
    io::{self, Write},
    sync::Arc,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{
    dead_letter::{DeadLetter, Fingerprint, Overflow, OverflowError, with_members},
    queue::{DeadLetterQueue, Message},
    text::iso8601,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{Auditor, Entry, Filter, Judge, Judged, Outcome, TriageError, sweep::Fate};

/// How many dead letters are fetched from the overflow at the same time.
const FETCHES: usize = 16;

/// A message on its way.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Line {
    /// The id that the queue had given it.
    pub message_id: String,
    /// When it was put there, in UTC.
    pub inserted_time: String,
    /// When the queue would have forgotten it, in UTC; `None` for never.
    pub expiration_time: Option<String>,
    /// How often it had been received.
    pub dequeue_count: i64,
    /// Its text, where that is JSON in one line, as every dead letter is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<RawValue>>,
    /// Its bytes as base64, where they are anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The whole dead letter, when it did not fit into the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<Box<RawValue>>,
}

impl Line {
    /// The line of a message, without what lies elsewhere.
    fn of(Message { id, body, inserted_ms, expires_ms, dequeue_count }: &Message) -> Self {
        let message = in_one_line(body);
        Self {
            message_id: id.clone(),
            inserted_time: iso8601(*inserted_ms),
            expiration_time: expires_ms.map(iso8601),
            dequeue_count: *dequeue_count,
            base64: message.is_none().then(|| BASE64_STANDARD.encode(body)),
            message,
            whole: None,
        }
    }

    /// What was in the message.
    fn body(&self) -> Result<Vec<u8>, String> {
        match (&self.message, &self.base64) {
            (Some(message), None) => Ok(message.get().as_bytes().to_vec()),
            (None, Some(base64)) => {
                BASE64_STANDARD.decode(base64).map_err(|error| format!("its Base64 is none: {error}"))
            }
            _ => Err("it has not just one of Message and Base64".into()),
        }
    }
}

/// JSON that can stand in a line, byte for byte.
fn in_one_line(text: &[u8]) -> Option<Box<RawValue>> {
    let is_bare = !text.contains(&b'\n') && text.trim_ascii().len() == text.len();
    // A null would be taken for none at all.
    let text = str::from_utf8(text).ok().filter(|text| is_bare && *text != "null")?;
    serde_json::from_str(text).ok()
}

/// Writes the messages that are meant, and leaves them where they are.
pub struct Export<'a> {
    /// Which are meant; messages that are no dead letters are, too, where nothing is set.
    pub filter: &'a Filter,
    /// Where the large ones lie.
    pub overflow: Option<Arc<dyn Overflow>>,
    /// Where the lines go.
    pub output: Box<dyn Write + Send + 'a>,
    /// The trail of what is done.
    pub audit: &'a Auditor,
    /// How many were written so far.
    pub written: u64,
    /// What could not be fetched from the overflow, and so is not whole in what was written.
    pub incomplete: Vec<String>,
}

/// What lies elsewhere of a message, if anything does; or which dead letter cannot be had, and why. An error is no matter
/// of this one.
async fn whole(
    entry: &Entry,
    overflow: Option<&dyn Overflow>,
) -> Result<Option<Result<Box<RawValue>, String>>, OverflowError> {
    let Some((letter, pointer)) = entry.letter().and_then(|letter| Some((letter, letter.overflow.as_ref()?))) else {
        return Ok(None);
    };
    let fetched = match overflow {
        Some(overflow) => match pointer.fetch(overflow).await {
            Err(error) if !error.is_message_specific() => return Err(error),
            fetched => fetched.map_err(|error| error.to_string()),
        },
        None => Err(format!("it lies at {}, and no setting tells how to get there", pointer.location)),
    };
    let whole = fetched.and_then(|bytes| in_one_line(&bytes).ok_or_else(|| "it is not JSON in one line".into()));
    Ok(Some(whole.map_err(|reason| format!("{}: {reason}", letter.id))))
}

#[async_trait]
impl Judge for Export<'_> {
    async fn judge(&mut self, entries: &[Entry]) -> Result<Judged, TriageError> {
        let meant: Vec<_> = entries.iter().filter(|entry| self.filter.exports(&entry.summary())).collect();
        let fetches: Vec<_> = meant.iter().map(|entry| whole(entry, self.overflow.as_deref())).collect();
        let wholes: Vec<_> = stream::iter(fetches).buffered(FETCHES).try_collect().await?;
        let (mut lines, mut text) = (Vec::new(), Vec::new());
        for (entry, whole) in meant.into_iter().zip(wholes) {
            let mut line = Line::of(&entry.message);
            match whole {
                Some(Ok(whole)) => line.whole = Some(whole),
                Some(Err(reason)) => self.incomplete.push(reason),
                None => {}
            }
            serde_json::to_writer(&mut text, &line).map_err(io::Error::from)?;
            text.push(b'\n');
            lines.push(self.audit.line(&entry.summary(), Outcome::Exported, None));
        }
        // What has left cannot be called back.
        self.audit.append(&lines).await?;
        self.output.write_all(&text)?;
        self.output.flush()?;
        self.written += lines.len() as u64;
        Ok(Judged { fates: vec![Fate::Keep; entries.len()], is_enough: false })
    }
}

/// The message of a line as it is to be put into a queue, with what belongs to it kept in the overflow.
///
/// # Errors
///
/// [`ImportError::Line`] is this line's fault; any other is that of the queue or of the overflow, and the next line will
/// fare no better.
pub async fn import(
    line: &[u8],
    queue: &dyn DeadLetterQueue,
    overflow: Option<&dyn Overflow>,
) -> Result<Entry, ImportError> {
    let line: Line =
        serde_json::from_slice(line).map_err(|error| ImportError::Line(format!("it is no export: {error}")))?;
    let mut body = line.body().map_err(ImportError::Line)?;
    if let Some(whole) = &line.whole {
        let of_line =
            |error: serde_json::Error| ImportError::Line(format!("it has a Whole and no dead letter: {error}"));
        let message: DeadLetter = serde_json::from_slice(&body).map_err(of_line)?;
        let letter: DeadLetter = serde_json::from_str(whole.get()).map_err(of_line)?;
        // What is kept here is vouched for from now on, so it has to be what the message pointed at.
        let expected = message.overflow.as_ref().map(|pointer| &pointer.fingerprint);
        if expected != Some(&Fingerprint::of_bytes(whole.get().as_bytes())) {
            return Err(ImportError::Line("its Whole is not what its Message points at: it was changed".into()));
        }
        let Some(overflow) = overflow else {
            return Err(ImportError::Line(
                "it does not fit into the queue, and no setting says where it is to be kept: DeadLetterDirectory is a \
                 folder, DeadLetterStorage leads to blobs"
                    .into(),
            ));
        };
        let text = whole.get().as_bytes().to_vec();
        let pointer = letter.store_text_in(text, overflow).await.map_err(TriageError::from)?;
        let pointer = to_raw_value(&pointer).map_err(of_line)?;
        body = with_members(&body, [("Overflow", pointer)]).map_err(of_line)?.into_bytes();
    }
    queue.accepts(&body).map_err(|error| ImportError::Line(error.to_string()))?;
    Ok(Entry::read(Message { id: String::new(), body, inserted_ms: 0, expires_ms: None, dequeue_count: 0 }))
}

/// Why a line could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The line's own fault.
    #[error("{0}")]
    Line(String),
    /// The queue, or the overflow.
    #[error(transparent)]
    Place(#[from] TriageError),
}
