//! A batch: events of one key, in order, in one message.

use azure_core_amqp::{
    AmqpMessage, AmqpSymbol,
    message::{AmqpMessageBody, AmqpMessageProperties},
};
use devicestate_local::hub::Sent;
use uuid::Uuid;

use crate::failure::Failure;

/// The message format of Event Hubs in which each data section is a complete message.
pub(crate) const MESSAGE_FORMAT: u32 = 0x8001_3700;

/// The annotation with the partition key.
const PARTITION_KEY_ANNOTATION: &str = "x-opt-partition-key";

/// Events of one key.
pub(crate) struct Batch {
    key: Option<String>,
    events: Vec<Vec<u8>>,
    /// The records of the events.
    records: u64,
    /// Bytes on the wire.
    size: u64,
}

impl Batch {
    /// Creates a batch of this key without events.
    pub(crate) fn new(key: Option<String>) -> Result<Self, Failure> {
        let size = encode(&build_message(key.as_deref(), vec![Vec::new()]))?.len() as u64;
        Ok(Self { key, events: Vec::new(), records: 0, size })
    }

    /// Packs events of one key into as few batches as the limits permit. Every event gets an id, which stays the same
    /// however often the event is sent.
    ///
    /// # Errors
    ///
    /// An event does not fit into a batch of its own.
    pub(crate) fn pack(
        key: Option<&String>,
        events: Vec<Sent>,
        max_events: usize,
        max_bytes: u64,
    ) -> Result<Vec<Self>, Failure> {
        let mut batches = Vec::new();
        let mut batch = Self::new(key.cloned())?;
        for sent in events {
            let records = 1 + u64::from(sent.further_records);
            let event = encode(&event_message(sent))?;
            if !batch.is_empty() && (batch.len() == max_events || batch.size_with(&event) > max_bytes) {
                batches.push(std::mem::replace(&mut batch, Self::new(key.cloned())?));
            }
            if batch.size_with(&event) > max_bytes {
                return Err(Failure::permanent(format!(
                    "an event of {} bytes does not fit into a batch of at most {max_bytes} bytes, the limit of the hub",
                    event.len()
                )));
            }
            batch.size = batch.size_with(&event);
            batch.events.push(event);
            batch.records += records;
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Returns the number of events.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns the number of records in the events.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Returns the number of bytes on the wire.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the message. The hub reads the key from the message, consumers read it from each event.
    pub(crate) fn into_message(self) -> AmqpMessage {
        build_message(self.key.as_deref(), self.events)
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the size with one more event: a section has a descriptor of three bytes, a type, and a length of one byte or
    /// four.
    fn size_with(&self, event: &[u8]) -> u64 {
        let overhead = if event.len() < 256 { 5 } else { 8 };
        self.size + event.len() as u64 + overhead
    }
}

fn event_message(sent: Sent) -> AmqpMessage {
    let Sent { body, partition_key, content_type, .. } = sent;
    let properties = AmqpMessageProperties {
        message_id: Some(Uuid::new_v4().into()),
        content_type: content_type.map(AmqpSymbol::from),
        ..Default::default()
    };
    let mut event = build_message(partition_key.as_deref(), vec![body]);
    event.properties = Some(properties);
    event
}

fn build_message(key: Option<&str>, sections: Vec<Vec<u8>>) -> AmqpMessage {
    let mut message = AmqpMessage::builder().with_body(AmqpMessageBody::Binary(sections)).build();
    if let Some(key) = key {
        message.add_message_annotation(PARTITION_KEY_ANNOTATION.into(), key.to_owned());
    }
    message
}

fn encode(message: &AmqpMessage) -> Result<Vec<u8>, Failure> {
    AmqpMessage::serialize(message).map_err(|error| Failure::permanent(format!("an event cannot be encoded: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(sizes: &[usize], max_events: usize, max_bytes: u64) -> Result<Vec<Batch>, Failure> {
        let key = "key".to_owned();
        let sent = |size: &usize| Sent { body: vec![b'x'; *size], partition_key: Some(key.clone()), ..Sent::default() };
        Batch::pack(Some(&key), sizes.iter().map(sent).collect(), max_events, max_bytes)
    }

    #[test]
    fn the_size_of_a_batch_equals_its_bytes_on_the_wire() {
        for sizes in [&[1][..], &[100, 0, 300], &[70_000, 200, 255, 256]] {
            for batch in pack(sizes, 10, 1 << 20).expect("they fit") {
                let size = batch.size();
                let encoded = encode(&batch.into_message()).expect("a message").len() as u64;
                // An empty batch has an empty section, which the first event replaces.
                assert_eq!(size, encoded + 5, "{sizes:?}");
            }
        }
    }

    #[test]
    fn a_batch_ends_before_the_event_that_would_exceed_a_limit() {
        let lengths = |batches: Vec<Batch>| batches.iter().map(Batch::len).collect::<Vec<_>>();
        assert_eq!(lengths(pack(&[10; 7], 3, 1 << 20).expect("they fit")), [3, 3, 1]);
        let batches = pack(&[400; 5], 100, 1_200).expect("they fit");
        assert!(batches.iter().all(|batch| batch.size() <= 1_200), "the limit holds");
        assert_eq!(lengths(batches), [2, 2, 1]);
        assert!(pack(&[], 3, 1_000).expect("there are no events").is_empty());
    }

    #[test]
    fn a_too_large_event_is_rejected_with_its_size() {
        let Err(failure) = pack(&[10, 2_000], 100, 1_000) else { panic!("it was accepted") };
        assert!(failure.to_string().contains("does not fit into a batch of at most 1000 bytes"), "{failure}");
    }
}
