//! The `$cbs` node: receives tokens and responds with a status.

use fe2o3_amqp::{
    Receiver, Sender,
    types::{
        messaging::{AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties},
        primitives::{SimpleValue, Value},
    },
};
use tokio::sync::mpsc;

/// A token that was put.
#[derive(Debug, Clone)]
pub(crate) struct PutToken {
    /// `jwt`, or that of a signature.
    pub(crate) kind: String,
    /// The resource that it is for.
    pub(crate) audience: String,
    pub(crate) text: String,
}

/// A status for a request.
pub(crate) type Status = (MessageId, u16);

/// Receives tokens, keeps them, and passes the status for each on.
pub(crate) async fn receive(
    mut from: Receiver,
    token_responses: mpsc::Sender<Status>,
    store: impl Fn(PutToken) -> u16 + Send,
) {
    while let Ok(delivery) = from.recv::<Body<Value>>().await {
        if from.accept(&delivery).await.is_err() {
            return;
        }
        let message = delivery.into_message();
        let named = message.application_properties.unwrap_or_default();
        let text = |name: &str| match named.get(name) {
            Some(SimpleValue::String(text)) => text.clone(),
            _ => String::new(),
        };
        assert_eq!(text("operation"), "put-token");
        let Body::Value(AmqpValue(Value::String(token))) = message.body else { panic!("a token is a text") };
        let status = store(PutToken { kind: text("type"), audience: text("name"), text: token });
        let id = message.properties.and_then(|properties| properties.message_id).expect("a request has an id");
        if token_responses.send((id, status)).await.is_err() {
            return;
        }
    }
}

/// Sends the responses.
pub(crate) async fn respond(mut to: Sender, mut token_responses: mpsc::Receiver<Status>) {
    while let Some((id, status)) = token_responses.recv().await {
        let properties = Properties::builder().correlation_id(id).build();
        let status = ApplicationProperties::builder()
            .insert("status-code", i32::from(status))
            .insert("status-description", if status == 202 { "Accepted" } else { "Unauthorized" })
            .build();
        let message =
            Message::builder().properties(properties).application_properties(status).value(Value::Null).build();
        if to.send(message).await.is_err() {
            return;
        }
    }
}
