//! A queue of Azure Storage.
//!
//! Messages are written in base64, as the Functions binding writes them, so that all that lies in a queue is alike and
//! any byte survives. Whatever the binding, the portal or another tool wrote is read: base64 or plain text.

use std::time::Duration;

use azure_core::{http::headers::HeaderName, time::OffsetDateTime};
use azure_storage_queue::{
    QueueClient, QueueServiceClient, QueueServiceClientOptions,
    models::{
        QueueClientGetPropertiesResultHeaders as _, QueueClientPeekMessagesOptions, QueueClientReceiveMessagesOptions,
        QueueClientSendMessageOptions, QueueMessage,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    azure::{Fault, Resource, Service, StorageConnection, StorageError},
    dead_letter::QUEUE_LIMIT,
    settings::ConfigError,
};

/// The service's limit for one request.
const MOST_AT_ONCE: usize = 32;
const X_MS_POPRECEIPT: HeaderName = HeaderName::from_static("x-ms-popreceipt");

/// A queue of a storage account.
pub struct StorageQueue {
    client: QueueClient,
    resource: Resource,
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The queue's id of it.
    pub id: String,
    /// What was put.
    pub body: Vec<u8>,
    /// When it was put, in milliseconds since 1970; the queue counts whole seconds.
    pub inserted_ms: i64,
    /// How often it has been received, this time included.
    pub dequeue_count: i64,
}

/// A message that nobody else sees for a while, and the right to say what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Message,
    receipt: String,
}

impl StorageQueue {
    /// The queue of this name. Nobody is asked yet, so it need not exist.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not lead to a queue service.
    pub fn new(connection: &StorageConnection, name: &str) -> Result<Self, ConfigError> {
        let (client, resource) = connection.client(Service::Queue, format!("the queue {name}"))?;
        let options = QueueServiceClientOptions { client_options: client.options, ..Default::default() };
        let client = QueueServiceClient::new(client.url, client.credential, Some(options))
            .and_then(|service| service.queue_client(name))
            .map_err(|_| resource.unusable())?;
        Ok(Self { client, resource })
    }

    /// Makes the queue if there is none.
    ///
    /// # Errors
    ///
    /// [`StorageError`], as of all that follows.
    pub async fn create_if_missing(&self) -> Result<(), StorageError> {
        self.client.create(None).await.map(drop).map_err(|error| self.resource.translate(&error))
    }

    /// Puts a message that stays until somebody deletes it. When an answer is lost on the way the message may be there
    /// twice.
    ///
    /// # Errors
    ///
    /// [`Fault::TooLarge`] beyond [`QUEUE_LIMIT`], and any other.
    pub async fn put(&self, body: &[u8]) -> Result<(), StorageError> {
        if body.len() > QUEUE_LIMIT {
            return Err(self.resource.error(Fault::TooLarge(body.len())));
        }
        let message = QueueMessage { message_text: Some(BASE64_STANDARD.encode(body)) };
        // Without -1 the queue forgets it after seven days.
        let options = QueueClientSendMessageOptions { message_time_to_live: Some(-1), ..Default::default() };
        let put = async { self.client.send_message(message.try_into()?, Some(options)).await };
        put.await.map(drop).map_err(|error| self.resource.translate(&error))
    }

    /// About how many messages there are, those included that somebody has received and not deleted.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn count(&self) -> Result<u64, StorageError> {
        let count = async { self.client.get_properties(None).await?.approximate_messages_count() };
        let count = count.await.map_err(|error| self.resource.translate(&error))?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }

    /// Takes up to `most` messages, 32 at the most. Nobody else sees them for `hidden`, of which whole seconds count, one
    /// at least; then they are back, unless they were deleted.
    ///
    /// When an answer is lost on the way, its messages are hidden for that time without anybody having them.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<Received>, StorageError> {
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: Some(at_once(most)),
            visibility_timeout: Some(seconds(hidden).max(1)),
            ..Default::default()
        };
        let received = async { self.client.receive_messages(Some(options)).await?.into_model() };
        let received = received.await.map_err(|error| self.resource.translate(&error))?;
        let received = received.items.unwrap_or_default().into_iter().map(|message| Received {
            receipt: message.pop_receipt.unwrap_or_default(),
            message: Message::new(
                message.message_id,
                message.message_text,
                message.insertion_time,
                message.dequeue_count,
            ),
        });
        Ok(received.collect())
    }

    /// Looks at up to `most` messages, 32 at the most, and leaves them as they are. Hidden ones are not seen.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn peek(&self, most: usize) -> Result<Vec<Message>, StorageError> {
        let options = QueueClientPeekMessagesOptions { number_of_messages: Some(at_once(most)), ..Default::default() };
        let peeked = async { self.client.peek_messages(Some(options)).await?.into_model() };
        let peeked = peeked.await.map_err(|error| self.resource.translate(&error))?;
        let peeked = peeked.items.unwrap_or_default().into_iter().map(|message| {
            Message::new(message.message_id, message.message_text, message.insertion_time, message.dequeue_count)
        });
        Ok(peeked.collect())
    }

    /// Deletes a message for good.
    ///
    /// # Errors
    ///
    /// [`Fault::Gone`], when it was hidden no more and somebody else has it now, and any other.
    pub async fn delete(&self, received: &Received) -> Result<(), StorageError> {
        let deleted = self.client.delete_message(&received.message.id, &received.receipt, None).await;
        deleted.map(drop).map_err(|error| self.resource.translate(&error))
    }

    /// Hides a message for so long from now on, in whole seconds; none at all gives it back at once.
    ///
    /// # Errors
    ///
    /// As [`StorageQueue::delete`].
    pub async fn hide(&self, received: &mut Received, hidden: Duration) -> Result<(), StorageError> {
        let Received { message, receipt } = received;
        let updated = self.client.update_message(&message.id, receipt, seconds(hidden), None).await;
        let updated = updated.map_err(|error| self.resource.translate(&error))?;
        // Each hiding has a receipt of its own, and the one before is worth nothing any more.
        if let Some(new) = updated.headers().get_optional_string(&X_MS_POPRECEIPT) {
            *receipt = new;
        }
        Ok(())
    }
}

impl Message {
    fn new(
        id: Option<String>,
        text: Option<String>,
        inserted: Option<OffsetDateTime>,
        dequeue_count: Option<i64>,
    ) -> Self {
        let text = text.unwrap_or_default();
        Self {
            id: id.unwrap_or_default(),
            // Text of another tool can be base64 by chance. What is in these queues cannot: JSON begins with a brace.
            body: BASE64_STANDARD.decode(&text).unwrap_or_else(|_| text.into_bytes()),
            inserted_ms: inserted.map_or(0, |time| time.unix_timestamp() * 1_000),
            dequeue_count: dequeue_count.unwrap_or_default(),
        }
    }
}

fn at_once(most: usize) -> i32 {
    i32::try_from(most.clamp(1, MOST_AT_ONCE)).unwrap_or(1)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
