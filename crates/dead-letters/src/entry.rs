//! A message of the queue: a dead letter, or anything else.

use devicestate_engine::{
    dead_letter::{DeadLetter, Fingerprint, IdCheck, is_dead_letter_id},
    failure::{ErrorClass, Stage},
    queue::Message,
    text::{iso8601, truncated},
};
use serde::{Serialize, de::Error as _};
use serde_json::value::RawValue;

/// Parses a dead letter strictly: an object, and UTF-8 to the last byte. A replay changes its text member by member, and a
/// derived struct would also accept an array, and any bytes in members that it skips.
pub(crate) fn parse_dead_letter(body: &[u8]) -> serde_json::Result<DeadLetter> {
    let text = str::from_utf8(body).map_err(serde_json::Error::custom)?;
    if text.trim_ascii_start().starts_with('[') {
        return Err(serde_json::Error::custom("it is an array"));
    }
    serde_json::from_str(text)
}

/// A message and its parsed content.
#[derive(Debug)]
pub struct Entry {
    /// The message as it is in the queue.
    pub message: Message,
    /// Its parsed content.
    pub content: MessageContent,
    identity: Option<Identity>,
}

/// What a message contains.
#[derive(Debug)]
pub enum MessageContent {
    /// A dead letter.
    DeadLetter(Box<DeadLetter>),
    /// Something that this product did not write, or that was changed since, with the reason. It is listed and never
    /// replayed. It is deleted only by its message id.
    Foreign(String),
}

impl Entry {
    /// Parses a message.
    #[must_use]
    pub fn parse(message: Message) -> Self {
        let (content, identity) = match parse_dead_letter(&message.body) {
            Ok(letter) => match Identity::of(&letter) {
                Ok(identity) => (MessageContent::DeadLetter(Box::new(letter)), Some(identity)),
                Err(reason) => (MessageContent::Foreign(reason), None),
            },
            Err(error) => (MessageContent::Foreign(format!("it is not a dead letter of devicestate: {error}")), None),
        };
        Self { message, content, identity }
    }

    /// Returns the dead letter, if the message is one.
    #[must_use]
    pub fn dead_letter(&self) -> Option<&DeadLetter> {
        match &self.content {
            MessageContent::DeadLetter(letter) => Some(letter),
            MessageContent::Foreign(_) => None,
        }
    }

    /// Returns what makes two messages the same dead letter; `None` if the message is not one.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Returns the summary of the message, which a list shows.
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
            MessageContent::Foreign(reason) => Summary { issue: reason.clone(), ..summary },
            MessageContent::DeadLetter(letter) => add_dead_letter(letter, summary),
        }
    }
}

/// What makes two messages the same dead letter. The id alone does so only if it was checked, here or when the complete dead
/// letter is fetched from the overflow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The id.
    pub id: String,
    /// The digest of the event, if the id cannot be checked because the event is not complete.
    event: Option<String>,
}

impl Identity {
    /// Returns the identity of a dead letter, or why its id is not its own.
    fn of(letter: &DeadLetter) -> Result<Self, String> {
        if !is_dead_letter_id(&letter.id) {
            return Err(format!("its Id {:?} is not the id of a dead letter", truncated(&letter.id)));
        }
        let event = match letter.check_id() {
            IdCheck::Matches => None,
            IdCheck::Differs => {
                return Err(format!(
                    "its Id {:?} is not the hash of its event's position and body: it was changed",
                    letter.id
                ));
            }
            IdCheck::Incomplete if letter.overflow.is_some() => None,
            IdCheck::Incomplete => {
                let data = &letter.event_data;
                // How much of a truncated body is kept depends on the message's other texts.
                let body = data.body.as_ref().filter(|_| data.body_cut.is_none());
                let event = (&letter.source, &data.sequence_number, &data.enqueued_time_utc, &data.body_cut, body);
                let text = serde_json::to_vec(&event).expect("texts and numbers are always JSON");
                Some(Fingerprint::of_bytes(&text).sha256)
            }
        };
        Ok(Self { id: letter.id.clone(), event })
    }
}

/// The summary of a message: all that a filter or an operator needs, without body and properties.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The dead letter's id; `None` if the message is not a dead letter.
    pub id: Option<String>,
    /// The description of the failure, of the last replay if there was one.
    pub issue: String,
    /// The stage that failed, in the last replay if there was one.
    pub stage: Option<Stage>,
    /// The error class, of the last replay if there was one.
    pub error_class: Option<ErrorClass>,
    /// The device, if the event could be decoded.
    pub device_id: Option<String>,
    /// The event's partition key.
    pub partition_key: Option<String>,
    /// The hub.
    pub event_hub_name: String,
    /// The partition.
    pub partition_id: String,
    /// The Service Bus queue with sessions, instead of hub and partition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_queue_name: String,
    /// The event's sequence number.
    pub sequence_number: Option<i64>,
    /// When the service enqueued the event, as the host wrote it.
    pub enqueued_time_utc: Option<String>,
    /// When it failed in the handler, in UTC.
    pub time: String,
    /// How many replays have failed.
    pub replays: u32,
    /// Where the complete dead letter is stored, if it did not fit into the queue.
    pub overflow: Option<String>,
    /// Whether the body was truncated, so that it cannot be replayed.
    pub is_cut: bool,
    /// The queue's id of the message.
    pub message_id: String,
    /// When the message was put into the queue, in UTC.
    pub inserted_time: String,
    /// When the queue deletes it, in UTC; `None` for never.
    pub expiration_time: Option<String>,
    /// How often it has been received.
    pub dequeue_count: i64,
}

impl Summary {
    /// Returns the device, or else the partition key: senders usually choose the device for it.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        self.device_id.as_deref().or(self.partition_key.as_deref())
    }
}

fn add_dead_letter(letter: &DeadLetter, summary: Summary) -> Summary {
    let data = &letter.event_data;
    Summary {
        id: Some(letter.id.clone()),
        issue: letter.last_issue().to_owned(),
        stage: Some(letter.last_stage()),
        error_class: Some(letter.last_class()),
        device_id: device_id(letter),
        partition_key: data.partition_key.as_deref().map(cell_text),
        event_hub_name: letter.source.event_hub_name.clone(),
        partition_id: letter.source.partition_id.clone(),
        session_queue_name: letter.source.session_queue_name.clone(),
        sequence_number: data.sequence_number.as_deref().and_then(|number| cell_text(number).parse().ok()),
        enqueued_time_utc: data.enqueued_time_utc.as_deref().map(cell_text),
        time: letter.time.clone(),
        replays: letter.replay.as_ref().map_or(0, |replay| replay.attempts),
        overflow: letter.overflow.as_ref().map(|pointer| pointer.location.clone()),
        is_cut: data.body_cut.is_some(),
        ..summary
    }
}

/// Returns the device of a dead letter. Messages of earlier versions have it only in the decoded state.
pub(super) fn device_id(letter: &DeadLetter) -> Option<String> {
    let decoded = || letter.device_state.as_ref()?.get("id")?.as_str().map(str::to_owned);
    letter.device_id.clone().or_else(decoded)
}

/// Returns the content of a JSON string, or the text of any other JSON value.
fn cell_text(cell: &RawValue) -> String {
    serde_json::from_str(cell.get()).unwrap_or_else(|_| cell.get().to_owned())
}
