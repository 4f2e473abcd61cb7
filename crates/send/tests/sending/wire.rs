//! What arrives at the hub, decoded from the bytes with AMQP's types and without the sender's code.

use fe2o3_amqp::{
    link::delivery::Delivery,
    types::messaging::{Body, Message, MessageId, annotations::AnnotationKey, message::__private::Deserializable},
    types::primitives::{Symbol, Value},
};

/// A batch that the hub received.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedBatch {
    /// The link's target.
    pub(crate) address: String,
    pub(crate) format: u32,
    /// The envelope's partition key.
    pub(crate) key: Option<String>,
    pub(crate) events: Vec<Event>,
}

/// An event in a batch.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) key: Option<String>,
    pub(crate) id: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl ReceivedBatch {
    pub(crate) fn read(address: &str, delivery: &Delivery<Body<Value>>) -> Self {
        let message = delivery.message();
        Self {
            address: address.to_owned(),
            format: delivery.message_format().expect("a first transfer has a format"),
            key: key(message),
            events: sections(message).iter().map(|bytes| Event::read(bytes)).collect(),
        }
    }
}

impl Event {
    fn read(bytes: &[u8]) -> Self {
        let Deserializable(message) = serde_amqp::from_slice::<Deserializable<Message<Body<Value>>>>(bytes)
            .expect("a section of a batch is a message");
        let properties = message.properties.clone().expect("an event has properties");
        let Some(MessageId::String(id)) = properties.message_id.map(text) else { panic!("an event has an id") };
        let Ok([body]) = <[_; 1]>::try_from(sections(&message)) else { panic!("an event has one body") };
        Self { key: key(&message), id, content_type: properties.content_type.map(|Symbol(name)| name), body }
    }
}

/// Any id as text.
fn text(id: MessageId) -> MessageId {
    match id {
        MessageId::Uuid(uuid) => MessageId::String(format!("{uuid:?}")),
        other => other,
    }
}

fn sections(message: &Message<Body<Value>>) -> Vec<Vec<u8>> {
    let Body::Data(sections) = &message.body else { panic!("it has data: {message:?}") };
    sections.iter().map(|section| section.0.to_vec()).collect()
}

fn key(message: &Message<Body<Value>>) -> Option<String> {
    let annotations = message.message_annotations.as_ref()?;
    match annotations.get(&Symbol::from("x-opt-partition-key") as &dyn AnnotationKey)? {
        Value::String(key) => Some(key.clone()),
        other => panic!("a partition key is text: {other:?}"),
    }
}
