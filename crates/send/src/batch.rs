//! A batch: events of one key, in order, as one message.

use azure_core_amqp::{
    AmqpMessage, AmqpSymbol,
    message::{AmqpMessageBody, AmqpMessageProperties},
};
use devicestate_local::hub::Sent;
use uuid::Uuid;

use crate::failure::Failure;

/// Event Hubs' format of a message whose data sections are whole messages.
pub(crate) const FORMAT: u32 = 0x8001_3700;

/// The annotation that the partition is chosen by.
const PARTITION_KEY: &str = "x-opt-partition-key";

/// Events of one key.
pub(crate) struct Batch {
    key: Option<String>,
    events: Vec<Vec<u8>>,
    size: u64,
}

impl Batch {
    /// A batch of this key without events.
    pub(crate) fn new(key: Option<String>) -> Result<Self, Failure> {
        let size = encode(&message(key.as_deref(), vec![Vec::new()]))?.len() as u64;
        Ok(Self { key, events: Vec::new(), size })
    }

    /// Puts these events, all of one key, into as few batches as the limits let it. Every event gets an id, which stays
    /// the same however often it is sent.
    ///
    /// # Errors
    ///
    /// An event that does not fit alone.
    pub(crate) fn pack(
        key: Option<&String>,
        events: Vec<Sent>,
        most_events: usize,
        most_bytes: u64,
    ) -> Result<Vec<Self>, Failure> {
        let mut batches = Vec::new();
        let mut batch = Self::new(key.cloned())?;
        for sent in events {
            let event = encode(&event(sent))?;
            if !batch.is_empty() && (batch.len() == most_events || batch.with(&event) > most_bytes) {
                batches.push(std::mem::replace(&mut batch, Self::new(key.cloned())?));
            }
            if batch.with(&event) > most_bytes {
                return Err(Failure::never(format!(
                    "an event of {} bytes does not fit into a batch of {most_bytes}, the hub's limit",
                    event.len()
                )));
            }
            batch.size = batch.with(&event);
            batch.events.push(event);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// How many events.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// How many bytes it has on the wire.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The message. The hub looks for the key only here, and consumers find it in each event.
    pub(crate) fn into_message(self) -> AmqpMessage {
        message(self.key.as_deref(), self.events)
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The size with one more event: behind a descriptor of three bytes and a type, its length takes one byte or four.
    fn with(&self, event: &[u8]) -> u64 {
        let around = if event.len() < 256 { 5 } else { 8 };
        self.size + event.len() as u64 + around
    }
}

fn event(sent: Sent) -> AmqpMessage {
    let Sent { body, partition_key, content_type } = sent;
    let properties = AmqpMessageProperties {
        message_id: Some(Uuid::new_v4().into()),
        content_type: content_type.map(AmqpSymbol::from),
        ..Default::default()
    };
    let mut event = message(partition_key.as_deref(), vec![body]);
    event.properties = Some(properties);
    event
}

fn message(key: Option<&str>, sections: Vec<Vec<u8>>) -> AmqpMessage {
    let mut message = AmqpMessage::builder().with_body(AmqpMessageBody::Binary(sections)).build();
    if let Some(key) = key {
        message.add_message_annotation(PARTITION_KEY.into(), key.to_owned());
    }
    message
}

fn encode(message: &AmqpMessage) -> Result<Vec<u8>, Failure> {
    AmqpMessage::serialize(message).map_err(|error| Failure::never(format!("an event cannot be encoded: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(sizes: &[usize], most_events: usize, most_bytes: u64) -> Result<Vec<Batch>, Failure> {
        let key = "key".to_owned();
        let sent =
            |size: &usize| Sent { body: vec![b'x'; *size], partition_key: Some(key.clone()), content_type: None };
        Batch::pack(Some(&key), sizes.iter().map(sent).collect(), most_events, most_bytes)
    }

    #[test]
    fn a_batch_knows_its_size_on_the_wire() {
        for sizes in [&[1][..], &[100, 0, 300], &[70_000, 200, 255, 256]] {
            for batch in pack(sizes, 10, 1 << 20).expect("they fit") {
                let size = batch.size();
                let encoded = encode(&batch.into_message()).expect("a message").len() as u64;
                // It begins with an empty section, which is gone with the first event.
                assert_eq!(size, encoded + 5, "{sizes:?}");
            }
        }
    }

    #[test]
    fn a_batch_ends_where_the_next_event_would_be_too_much() {
        let lengths = |batches: Vec<Batch>| batches.iter().map(Batch::len).collect::<Vec<_>>();
        assert_eq!(lengths(pack(&[10; 7], 3, 1 << 20).expect("they fit")), [3, 3, 1]);
        let batches = pack(&[400; 5], 100, 1_200).expect("they fit");
        assert!(batches.iter().all(|batch| batch.size() <= 1_200), "the limit counts");
        assert_eq!(lengths(batches), [2, 2, 1]);
        assert!(pack(&[], 3, 1_000).expect("nothing fits").is_empty());
    }

    #[test]
    fn an_event_that_is_too_large_for_a_batch_is_refused_with_its_size() {
        let Err(failure) = pack(&[10, 2_000], 100, 1_000) else { panic!("it was taken") };
        assert!(failure.to_string().contains("does not fit into a batch of 1000"), "{failure}");
    }
}
