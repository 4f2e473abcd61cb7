//! A dead-letter queue in Azure Storage.
//!
//! Messages are written in base64, as the Functions binding writes them, so that all messages have one encoding and any byte
//! is preserved. Messages of the binding, the portal or another tool are read in base64 or plain text.

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
    queue::{DeadLetterQueue, Message, QueueError, Received, receive_count},
    settings::ConfigError,
};

use crate::storage::{Resource, Service, StorageConnection, StorageError, StorageErrorKind};

/// The service's limit of a message's text.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// The year of the expiration time that the service reports for messages that never expire.
const NEVER_EXPIRES_YEAR: i32 = 9999;

const X_MS_POPRECEIPT: HeaderName = HeaderName::from_static("x-ms-popreceipt");

/// A queue of a storage account.
pub struct StorageQueue {
    name: String,
    client: QueueClient,
    resource: Resource,
}

impl StorageQueue {
    /// Creates a client of the queue of this name. Sends no request yet, so the queue need not exist.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the connection has no usable queue service.
    pub fn new(connection: &StorageConnection, name: &str) -> Result<Self, ConfigError> {
        Self::with_subject(connection, name, format!("the queue {name}"))
    }

    /// Creates a client of the queue's read-only copy, which an account with read-access geo-redundant storage (RA-GRS) has in
    /// its secondary region. The copy lags by minutes. Only [`count`](Self::count) and [`peek`](Self::peek) work.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the connection has no usable queue service, or the URL of its copy is unknown.
    pub fn secondary(connection: &StorageConnection, name: &str) -> Result<Self, ConfigError> {
        Self::with_subject(&connection.secondary()?, name, format!("the read-only copy of the queue {name}"))
    }

    fn with_subject(connection: &StorageConnection, name: &str, subject: String) -> Result<Self, ConfigError> {
        let (client, resource) = connection.client(Service::Queue, subject)?;
        let options = QueueServiceClientOptions { client_options: client.options, ..Default::default() };
        let client = QueueServiceClient::new(client.url, client.credential, Some(options))
            .and_then(|service| service.queue_client(name))
            .map_err(|_| resource.invalid_address())?;
        Ok(Self { name: name.to_owned(), client, resource })
    }

    /// Returns the client for a caller that only reads: an error about a missing role then names the Reader role.
    #[must_use]
    pub fn with_reader_role(mut self) -> Self {
        self.resource.role = "Storage Queue Data Reader";
        self
    }

    /// Creates the queue if it is missing.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the request fails.
    pub async fn create_if_missing(&self) -> Result<(), StorageError> {
        self.client.create(None).await.map(drop).map_err(|error| self.resource.translate(&error))
    }

    fn translate(&self, error: &azure_core::Error) -> QueueError {
        self.resource.translate(error).into()
    }

    /// Encodes a body as the text of a message.
    fn encode(&self, body: &[u8], is_base64: bool) -> Result<QueueMessage, QueueError> {
        let limit = if is_base64 { MAX_MESSAGE_BYTES } else { MAX_TEXT_BYTES };
        if body.len() > limit {
            return Err(self.resource.error(StorageErrorKind::TooLarge { bytes: body.len(), limit }).into());
        }
        let text = match str::from_utf8(body) {
            _ if is_base64 => BASE64_STANDARD.encode(body),
            Ok(text) if text.chars().all(is_allowed_in_xml) => text.to_owned(),
            _ => return Err(self.resource.error(StorageErrorKind::NotText).into()),
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
        let message = self.encode(body, true)?;
        // Without -1, the message expires after seven days.
        let options = QueueClientSendMessageOptions { message_time_to_live: Some(-1), ..Default::default() };
        let put = async { self.client.send_message(message.try_into()?, Some(options)).await };
        put.await.map(drop).map_err(|error| self.translate(&error))
    }

    fn accepts(&self, body: &[u8]) -> Result<(), QueueError> {
        self.encode(body, true).map(drop)
    }

    async fn count(&self) -> Result<u64, QueueError> {
        let count = async { self.client.get_properties(None).await?.approximate_messages_count() };
        let count = count.await.map_err(|error| self.translate(&error))?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }

    async fn peek(&self, limit: usize) -> Result<Vec<Message>, QueueError> {
        let options =
            QueueClientPeekMessagesOptions { number_of_messages: Some(receive_count(limit)), ..Default::default() };
        let messages = async { self.client.peek_messages(Some(options)).await?.into_model() };
        let messages = messages.await.map_err(|error| self.translate(&error))?;
        Ok(messages.items.unwrap_or_default().into_iter().map(convert_peeked).collect())
    }

    async fn receive(&self, limit: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: Some(receive_count(limit)),
            visibility_timeout: Some(whole_seconds(hidden).max(1)),
            ..Default::default()
        };
        let messages = async { self.client.receive_messages(Some(options)).await?.into_model() };
        let messages = messages.await.map_err(|error| self.translate(&error))?;
        Ok(messages.items.unwrap_or_default().into_iter().map(convert_received).collect())
    }

    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError> {
        let text = body.map(|body| self.encode(body, received.is_base64)).transpose()?;
        let update = async {
            let queue_message = text.map(TryInto::try_into).transpose()?;
            let options = QueueClientUpdateMessageOptions { queue_message, ..Default::default() };
            let Received { message, receipt, .. } = &*received;
            self.client.update_message(&message.id, receipt, whole_seconds(hidden), Some(options)).await
        };
        let updated = update.await.map_err(|error| self.translate(&error))?;
        let receipt = updated.headers().get_optional_string(&X_MS_POPRECEIPT);
        received.apply_update(receipt.unwrap_or_else(|| received.receipt.clone()), body);
        Ok(())
    }

    async fn delete(&self, received: &Received) -> Result<(), QueueError> {
        let deleted = self.client.delete_message(&received.message.id, &received.receipt, None).await;
        deleted.map(drop).map_err(|error| self.translate(&error))
    }
}

/// Converts a message that was peeked.
fn convert_peeked(message: PeekedMessage) -> Message {
    Message {
        id: message.message_id.unwrap_or_default(),
        body: decode(message.message_text.unwrap_or_default()).0,
        inserted_ms: message.insertion_time.map_or(0, unix_ms),
        expires_ms: message.expiration_time.and_then(expires_ms),
        dequeue_count: message.dequeue_count.unwrap_or_default(),
    }
}

/// Converts a message that was received.
fn convert_received(message: ReceivedMessage) -> Received {
    let (body, is_base64) = decode(message.message_text.unwrap_or_default());
    Received {
        message: Message {
            id: message.message_id.unwrap_or_default(),
            body,
            inserted_ms: message.insertion_time.map_or(0, unix_ms),
            expires_ms: message.expiration_time.and_then(expires_ms),
            dequeue_count: message.dequeue_count.unwrap_or_default(),
        },
        receipt: message.pop_receipt.unwrap_or_default(),
        is_base64,
    }
}

/// Decodes a message's text. Returns the body and whether the text is base64.
fn decode(text: String) -> (Vec<u8>, bool) {
    // Another tool's plain text may also be valid base64. JSON is not, since it begins with a brace.
    match BASE64_STANDARD.decode(&text) {
        Ok(body) => (body, true),
        Err(_) => (text.into_bytes(), false),
    }
}

/// Returns whether XML can represent the character: messages are sent in XML.
fn is_allowed_in_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn unix_ms(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000
}

fn expires_ms(time: OffsetDateTime) -> Option<i64> {
    (time.year() < NEVER_EXPIRES_YEAR).then(|| unix_ms(time))
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use devicestate_engine::settings::Settings;

    use super::*;
    use crate::storage::StorageErrorKind;

    #[tokio::test]
    async fn the_error_of_a_missing_role_names_the_reader_role() {
        let mut settings = Settings::default();
        settings.set("S", "UseDevelopmentStorage=true");
        let connection =
            StorageConnection::from_settings(&settings, "S").expect("valid settings").expect("a connection");
        let queue = StorageQueue::new(&connection, "q").expect("a queue").with_reader_role();
        let kind = StorageErrorKind::MissingRole { role: queue.resource.role, code: "403".to_owned() };
        let error = QueueError::from(queue.resource.error(kind)).to_string();
        assert!(error.contains("the role Storage Queue Data Reader") && !error.contains("Contributor"), "{error}");
    }
}
