//! The id of a dead letter, and the check that it belongs to its event. Anyone who can write into the queue or edit an export can
//! write any id, so an id is never trusted.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{DeadLetter, MAX_NAME_CHARS, hex};
use crate::{
    batch::{Batch, Event, EventMetadata, MetadataColumn, Source},
    invocation::attach_metadata,
};

/// The number of hexadecimal digits in the id of a dead letter.
pub const ID_DIGITS: usize = 32;

/// Returns true if a text has the form of an id: 32 lower-case hexadecimal digits. Only such a text may become part of a
/// name in the overflow.
#[must_use]
pub fn is_dead_letter_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the id of a dead letter is the hash of its event's position and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdCheck {
    /// It is.
    Matches,
    /// It is not: the id, the position or the body was changed.
    Differs,
    /// The event is not complete here: its body is in the overflow or truncated, or a name of its source is.
    Incomplete,
}

impl DeadLetter {
    /// Checks the id against the event's position and body.
    #[must_use]
    pub fn check_id(&self) -> IdCheck {
        let data = &self.event_data;
        let Source { fully_qualified_namespace, consumer_group, partition_id, .. } = &self.source;
        let is_shortened = |name: &&str| name.chars().nth(MAX_NAME_CHARS).is_some_and(|last| last == '…');
        let names = [fully_qualified_namespace.as_str(), self.source.entity(), consumer_group, partition_id];
        let (None, Some(body)) = (&data.body_cut, &data.body) else { return IdCheck::Incomplete };
        if names.iter().any(is_shortened) {
            return IdCheck::Incomplete;
        }
        let Ok(body) = BASE64.decode(body) else { return IdCheck::Differs };
        let column = |cell: &Option<Box<RawValue>>| match cell {
            Some(cell) => MetadataColumn::new(format!("[{cell}]"), 1),
            None => MetadataColumn::default(),
        };
        let body = Bytes::from(body);
        let id_with = |system_properties| {
            let metadata = EventMetadata {
                sequence_numbers: column(&data.sequence_number),
                enqueued_times: column(&data.enqueued_time_utc),
                system_properties,
                ..EventMetadata::default()
            };
            let event = Event { body: body.clone(), ..Event::default() };
            dead_letter_id(&attach_metadata(self.source.clone(), vec![event], metadata), 0)
        };
        // Another version may or may not read the position from the system properties.
        let matches =
            id_with(MetadataColumn::default()) == self.id || id_with(column(&data.system_properties)) == self.id;
        if matches { IdCheck::Matches } else { IdCheck::Differs }
    }
}

/// Returns the id of an event's dead letter: a hash of the event's position and body, so that a repeat has the same id.
pub(super) fn dead_letter_id(batch: &Batch, index: usize) -> String {
    let event = &batch.events[index];
    let Source { fully_qualified_namespace, consumer_group, partition_id, .. } = &batch.source;
    let (sequence_number, enqueued) = match event.position {
        Some(position) => (position.sequence_number.to_string(), position.enqueued_ms.to_string()),
        None => Default::default(),
    };
    let mut hash = Sha256::new();
    let entity = batch.source.entity();
    for part in [fully_qualified_namespace, entity, consumer_group, partition_id, &sequence_number, &enqueued] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(&event.body);
    hex(&hash.finalize()[..ID_DIGITS / 2])
}
