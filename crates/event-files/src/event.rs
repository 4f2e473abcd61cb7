//! An event of a file.

use devicestate_engine::{
    batch::{Event, EventMetadata, MetadataColumn, Source},
    invocation::attach_metadata,
};
use serde::Serialize;
use serde_json::{Map, Value};

/// An event of a file, with the metadata that the file has of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileEvent {
    /// The line on which it begins, from 1; `None` in a file that is not text.
    pub line: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// The partition key.
    pub partition_key: Option<String>,
    /// The sequence number.
    pub sequence_number: Option<i64>,
    /// When the service enqueued it, in UTC, as the host writes it.
    pub enqueued_time: Option<String>,
    /// The application properties.
    pub properties: Map<String, Value>,
    /// The system properties, among them the content type and what IoT Hub sets.
    pub system_properties: Map<String, Value>,
}

impl FileEvent {
    /// Returns the event as the handler reads it from a request.
    #[must_use]
    pub fn to_event(&self) -> Event {
        let event = Event { body: self.body.clone().into(), ..Event::default() };
        if !self.has_metadata() {
            return event;
        }
        let metadata = EventMetadata {
            partition_keys: column(&self.partition_key),
            properties: column(&self.properties),
            system_properties: column(&self.system_properties),
            ..match (self.sequence_number, &self.enqueued_time) {
                (Some(sequence_number), Some(time)) => EventMetadata {
                    sequence_numbers: column(&sequence_number),
                    enqueued_times: column(time),
                    ..EventMetadata::default()
                },
                _ => EventMetadata::default(),
            }
        };
        attach_metadata(Source::default(), vec![event], metadata).events.remove(0)
    }

    fn has_metadata(&self) -> bool {
        let has_properties = !self.properties.is_empty() || !self.system_properties.is_empty();
        has_properties || self.partition_key.is_some() || self.sequence_number.is_some()
    }
}

/// Returns a column with one cell.
fn column(cell: &impl Serialize) -> MetadataColumn {
    MetadataColumn::new(serde_json::to_string(&[cell]).expect("JSON values are always JSON"), 1)
}
