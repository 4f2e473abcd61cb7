//! A queue of Azure Storage.
//!
//! Messages are written in base64, as the Functions binding writes them, so that all that lies in a queue is alike and
//! any byte survives. Whatever the binding, the portal or another tool wrote is read: base64 or plain text.

use std::time::Duration;

use async_trait::async_trait;
use azure_core::{http::headers::HeaderName, time::OffsetDateTime};
use azure_storage_queue::{
    QueueClient, QueueServiceClient, QueueServiceClientOptions,
    models::{
        PeekedMessage, QueueClientGetPropertiesResultHeaders as _, QueueClientPeekMessagesOptions,
        QueueClientReceiveMessagesOptions, QueueClientSendMessageOptions, QueueClientUpdateMessageOptions,
        QueueMessage, ReceivedMessage,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{
    dead_letter::MAX_MESSAGE_BYTES,
    queue::{DeadLetterQueue, Message, QueueError, Received, at_once},
    settings::ConfigError,
};

use crate::storage::{Fault, Resource, Service, StorageConnection, StorageError};

/// The largest text of a message in bytes, the service's limit.
const TEXT_LIMIT: usize = 64 << 10;

/// A message that expires in this year never does: the service has no other way to say so.
const YEAR_OF_NEVER: i32 = 9999;

const X_MS_POPRECEIPT: HeaderName = HeaderName::from_static("x-ms-popreceipt");

/// A queue of a storage account.
pub struct StorageQueue {
    name: String,
    client: QueueClient,
    resource: Resource,
}

impl StorageQueue {
    /// The queue of this name. Nobody is asked yet, so it need not exist.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not lead to a queue service.
    pub fn new(connection: &StorageConnection, name: &str) -> Result<Self, ConfigError> {
        Self::of(connection, name, format!("the queue {name}"))
    }

    /// The read-only copy of the queue of this name, which an account with read-access geo-redundant storage (RA-GRS)
    /// keeps in its second region. It lags behind by minutes, and can only be counted and peeked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not lead to a queue service, or does not tell where its copy is.
    pub fn secondary(connection: &StorageConnection, name: &str) -> Result<Self, ConfigError> {
        Self::of(&connection.secondary()?, name, format!("the read-only copy of the queue {name}"))
    }

    fn of(connection: &StorageConnection, name: &str, subject: String) -> Result<Self, ConfigError> {
        let (client, resource) = connection.client(Service::Queue, subject)?;
        let options = QueueServiceClientOptions { client_options: client.options, ..Default::default() };
        let client = QueueServiceClient::new(client.url, client.credential, Some(options))
            .and_then(|service| service.queue_client(name))
            .map_err(|_| resource.unusable())?;
        Ok(Self { name: name.to_owned(), client, resource })
    }

    /// The same queue for a caller that only reads: when a right is missing, the errors name the role that is enough to read.
    #[must_use]
    pub fn with_reader_role(mut self) -> Self {
        self.resource.role = "Storage Queue Data Reader";
        self
    }

    /// Makes the queue if there is none.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn create_if_missing(&self) -> Result<(), StorageError> {
        self.client.create(None).await.map(drop).map_err(|error| self.resource.translate(&error))
    }

    fn failed(&self, error: &azure_core::Error) -> QueueError {
        self.resource.translate(error).into()
    }

    /// The text of a message with this body.
    fn text(&self, body: &[u8], is_base64: bool) -> Result<QueueMessage, QueueError> {
        let limit = if is_base64 { MAX_MESSAGE_BYTES } else { TEXT_LIMIT };
        if body.len() > limit {
            return Err(self.resource.error(Fault::TooLarge { bytes: body.len(), limit }).into());
        }
        let text = match str::from_utf8(body) {
            _ if is_base64 => BASE64_STANDARD.encode(body),
            Ok(text) if text.chars().all(is_allowed_in_xml) => text.to_owned(),
            _ => return Err(self.resource.error(Fault::NoText).into()),
        };
        Ok(QueueMessage { message_text: Some(text) })
    }
}

#[async_trait]
impl DeadLetterQueue for StorageQueue {
    fn name(&self) -> String {
        format!("{} at {}", self.name, self.resource.host)
    }

    async fn put(&self, body: &[u8]) -> Result<(), QueueError> {
        let message = self.text(body, true)?;
        // Without -1 the queue forgets it after seven days.
        let options = QueueClientSendMessageOptions { message_time_to_live: Some(-1), ..Default::default() };
        let put = async { self.client.send_message(message.try_into()?, Some(options)).await };
        put.await.map(drop).map_err(|error| self.failed(&error))
    }

    fn takes(&self, body: &[u8]) -> Result<(), QueueError> {
        self.text(body, true).map(drop)
    }

    async fn count(&self) -> Result<u64, QueueError> {
        let count = async { self.client.get_properties(None).await?.approximate_messages_count() };
        let count = count.await.map_err(|error| self.failed(&error))?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }

    async fn peek(&self, most: usize) -> Result<Vec<Message>, QueueError> {
        let options = QueueClientPeekMessagesOptions { number_of_messages: Some(at_once(most)), ..Default::default() };
        let messages = async { self.client.peek_messages(Some(options)).await?.into_model() };
        let messages = messages.await.map_err(|error| self.failed(&error))?;
        Ok(messages.items.unwrap_or_default().into_iter().map(peeked).collect())
    }

    async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: Some(at_once(most)),
            visibility_timeout: Some(seconds(hidden).max(1)),
            ..Default::default()
        };
        let messages = async { self.client.receive_messages(Some(options)).await?.into_model() };
        let messages = messages.await.map_err(|error| self.failed(&error))?;
        Ok(messages.items.unwrap_or_default().into_iter().map(received).collect())
    }

    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError> {
        let text = body.map(|body| self.text(body, received.is_base64)).transpose()?;
        let update = async {
            let queue_message = text.map(TryInto::try_into).transpose()?;
            let options = QueueClientUpdateMessageOptions { queue_message, ..Default::default() };
            let Received { message, receipt, .. } = &*received;
            self.client.update_message(&message.id, receipt, seconds(hidden), Some(options)).await
        };
        let updated = update.await.map_err(|error| self.failed(&error))?;
        let receipt = updated.headers().get_optional_string(&X_MS_POPRECEIPT);
        received.updated(receipt.unwrap_or_else(|| received.receipt.clone()), body);
        Ok(())
    }

    async fn delete(&self, received: &Received) -> Result<(), QueueError> {
        let deleted = self.client.delete_message(&received.message.id, &received.receipt, None).await;
        deleted.map(drop).map_err(|error| self.failed(&error))
    }
}

/// A message that was looked at.
fn peeked(message: PeekedMessage) -> Message {
    Message {
        id: message.message_id.unwrap_or_default(),
        body: decode(message.message_text.unwrap_or_default()).0,
        inserted_ms: message.insertion_time.map_or(0, milliseconds),
        expires_ms: message.expiration_time.and_then(expires_ms),
        dequeue_count: message.dequeue_count.unwrap_or_default(),
    }
}

/// A message that was received.
fn received(message: ReceivedMessage) -> Received {
    let (body, is_base64) = decode(message.message_text.unwrap_or_default());
    Received {
        message: Message {
            id: message.message_id.unwrap_or_default(),
            body,
            inserted_ms: message.insertion_time.map_or(0, milliseconds),
            expires_ms: message.expiration_time.and_then(expires_ms),
            dequeue_count: message.dequeue_count.unwrap_or_default(),
        },
        receipt: message.pop_receipt.unwrap_or_default(),
        is_base64,
    }
}

/// The body that a text stands for, and whether it does so in base64.
fn decode(text: String) -> (Vec<u8>, bool) {
    // Text of another tool can be base64 by chance. What is in these queues cannot: JSON begins with a brace.
    match BASE64_STANDARD.decode(&text) {
        Ok(body) => (body, true),
        Err(_) => (text.into_bytes(), false),
    }
}

/// Messages travel in XML, which has no way at all to write the others.
fn is_allowed_in_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000
}

fn expires_ms(time: OffsetDateTime) -> Option<i64> {
    (time.year() < YEAR_OF_NEVER).then(|| milliseconds(time))
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use devicestate_engine::settings::Settings;

    use super::*;
    use crate::storage::Fault;

    #[tokio::test]
    async fn a_missing_right_names_the_role_of_a_reader() {
        let mut settings = Settings::default();
        settings.set("S", "UseDevelopmentStorage=true");
        let connection = StorageConnection::from_settings(&settings, "S").expect("read").expect("there");
        let queue = StorageQueue::new(&connection, "q").expect("a queue").with_reader_role();
        let fault = Fault::Role { role: queue.resource.role, code: "403".to_owned() };
        let error = QueueError::from(queue.resource.error(fault)).to_string();
        assert!(error.contains("the role Storage Queue Data Reader") && !error.contains("Contributor"), "{error}");
    }
}
