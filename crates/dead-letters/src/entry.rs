//! A message of the queue as a person sees it: a dead letter of ours, or something else.

use devicestate_engine::{
    dead_letter::DeadLetter,
    failure::{ErrorClass, Stage},
    queue::Message,
    text::iso8601,
};
use serde::{Serialize, de::Error as _};
use serde_json::value::RawValue;

/// A dead letter whose text can also be changed member by member: an object, and text to its last byte. A derived struct
/// would take an array, too, and whatever bytes are in members that it skips.
fn read(body: &[u8]) -> serde_json::Result<DeadLetter> {
    let text = str::from_utf8(body).map_err(serde_json::Error::custom)?;
    if text.trim_ascii_start().starts_with('[') {
        return Err(serde_json::Error::custom("it is an array"));
    }
    serde_json::from_str(text)
}

/// A message, read.
#[derive(Debug)]
pub struct Entry {
    /// As it lies in the queue.
    pub message: Message,
    /// What is in it.
    pub content: Content,
}

/// What is in a message.
#[derive(Debug)]
pub enum Content {
    /// A dead letter.
    Letter(Box<DeadLetter>),
    /// Something that this product did not write, or that was changed since: with what is wrong with it. It is shown,
    /// and never replayed; it is deleted only by its message id.
    Foreign(String),
}

impl Entry {
    /// Reads a message.
    #[must_use]
    pub fn read(message: Message) -> Self {
        let content = match read(&message.body) {
            Ok(letter) if is_id(&letter.id) => Content::Letter(Box::new(letter)),
            Ok(letter) => Content::Foreign(format!("its Id {:?} is no dead letter's", letter.id)),
            Err(error) => Content::Foreign(format!("it is no dead letter of devicestate: {error}")),
        };
        Self { message, content }
    }

    /// The dead letter, if it is one.
    #[must_use]
    pub fn letter(&self) -> Option<&DeadLetter> {
        match &self.content {
            Content::Letter(letter) => Some(letter),
            Content::Foreign(_) => None,
        }
    }

    /// What a list tells of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let Message { id, inserted_ms, expires_ms, dequeue_count, .. } = &self.message;
        let summary = Summary {
            message_id: id.clone(),
            inserted_time: iso8601(*inserted_ms),
            expiration_time: expires_ms.map(iso8601),
            dequeue_count: *dequeue_count,
            ..Summary::default()
        };
        match &self.content {
            Content::Foreign(reason) => Summary { issue: reason.clone(), ..summary },
            Content::Letter(letter) => of_letter(letter, summary),
        }
    }
}

/// What a list tells of a message: everything that people look for, and neither body nor properties.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    /// The dead letter's id; `None` for a message that is none of ours.
    pub id: Option<String>,
    /// What happened: in the last replay, where there was one.
    pub issue: String,
    /// Where it failed: in the last replay, where there was one.
    pub stage: Option<Stage>,
    /// Whose fault it was: in the last replay, where there was one.
    pub error_class: Option<ErrorClass>,
    /// The device, as far as the event could be decoded.
    pub device_id: Option<String>,
    /// The partition key, by which an event that cannot be decoded may still be known.
    pub partition_key: Option<String>,
    /// The hub.
    pub event_hub_name: String,
    /// The partition.
    pub partition_id: String,
    /// The Service Bus queue with sessions, in place of hub and partition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_queue_name: String,
    /// The event's sequence number.
    pub sequence_number: Option<i64>,
    /// When the service enqueued the event, as the host wrote it.
    pub enqueued_time_utc: Option<String>,
    /// When it failed in the handler, in UTC.
    pub time: String,
    /// In how many replays it failed again.
    pub replays: u32,
    /// Where the whole dead letter is, when it did not fit into the queue.
    pub overflow: Option<String>,
    /// Whether the body had to be cut, so that it cannot be replayed.
    pub is_cut: bool,
    /// The queue's id of the message.
    pub message_id: String,
    /// When it was put, in UTC.
    pub inserted_time: String,
    /// When the queue forgets it, in UTC; `None` for never.
    pub expiration_time: Option<String>,
    /// How often it has been received.
    pub dequeue_count: i64,
}

impl Summary {
    /// Whose it is, as far as one can tell: the device, else the partition key, which senders choose to be the device.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        self.device_id.as_deref().or(self.partition_key.as_deref())
    }
}

fn of_letter(letter: &DeadLetter, of_message: Summary) -> Summary {
    let data = &letter.event_data;
    Summary {
        id: Some(letter.id.clone()),
        issue: letter.last_issue().to_owned(),
        stage: Some(letter.last_stage()),
        error_class: Some(letter.last_class()),
        device_id: device_id(letter),
        partition_key: data.partition_key.as_deref().map(text),
        event_hub_name: letter.source.event_hub_name.clone(),
        partition_id: letter.source.partition_id.clone(),
        session_queue_name: letter.source.session_queue_name.clone(),
        sequence_number: data.sequence_number.as_deref().and_then(|number| text(number).parse().ok()),
        enqueued_time_utc: data.enqueued_time_utc.as_deref().map(text),
        time: letter.time.clone(),
        replays: letter.replay.as_ref().map_or(0, |replay| replay.attempts),
        overflow: letter.overflow.as_ref().map(|pointer| pointer.location.clone()),
        is_cut: data.body_cut.is_some(),
        ..of_message
    }
}

/// The device of a dead letter. Messages of earlier versions have it only in what was decoded.
pub(super) fn device_id(letter: &DeadLetter) -> Option<String> {
    let decoded = || letter.device_state.as_ref()?.get("id")?.as_str().map(str::to_owned);
    letter.device_id.clone().or_else(decoded)
}

/// A cell as text: what a string says, or any other JSON as it is.
pub(super) fn text(cell: &RawValue) -> String {
    serde_json::from_str(cell.get()).unwrap_or_else(|_| cell.get().to_owned())
}

/// Whether this could be the id of a dead letter: 32 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
