//! The dead-letter queue, as a trait: a Storage queue in Azure, or a table in the state file on one machine.

use std::{error::Error, time::Duration};

use async_trait::async_trait;

use crate::failure::Cause;

/// The maximum number of messages that are received or peeked in one request: the limit of the Storage service, used for each queue.
pub const MAX_RECEIVE_COUNT: usize = 32;

/// A dead-letter queue, with the guarantees of a Storage queue: at-least-once delivery, in no particular order.
#[async_trait]
pub trait DeadLetterQueue: Send + Sync {
    /// Returns its name and location, for messages and the audit trail, such as
    /// `deadletterqueue at drones.queue.core.windows.net`.
    fn name(&self) -> String;

    /// Puts a message that does not expire. If the response is lost, the message may be in the queue twice.
    ///
    /// # Errors
    ///
    /// Returns a [`QueueError`], as do all other operations.
    async fn put(&self, body: &[u8]) -> Result<(), QueueError>;

    /// Checks, without a request, whether [`put`](Self::put) would accept this body.
    ///
    /// # Errors
    ///
    /// Returns the error that [`put`](Self::put) would return for the body.
    fn accepts(&self, _body: &[u8]) -> Result<(), QueueError> {
        Ok(())
    }

    /// Returns the approximate number of messages, including those that are received and not deleted.
    ///
    /// # Errors
    ///
    /// Returns a [`QueueError`] if the queue cannot be used.
    async fn count(&self) -> Result<u64, QueueError>;

    /// Returns up to `limit` messages, and at most [`MAX_RECEIVE_COUNT`], without changing them. Repeated calls return the same
    /// messages. Hidden messages are not returned.
    ///
    /// # Errors
    ///
    /// Returns a [`QueueError`] if the queue cannot be used.
    async fn peek(&self, limit: usize) -> Result<Vec<Message>, QueueError>;

    /// Returns up to `limit` messages that follow the message with the id `after`, and at most [`MAX_RECEIVE_COUNT`], without changing
    /// them. A queue that can peek only its first messages returns none that follow a message.
    ///
    /// # Errors
    ///
    /// Returns a [`QueueError`] if the queue cannot be used.
    async fn peek_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<Message>, QueueError> {
        if after.is_some() { Ok(Vec::new()) } else { self.peek(limit).await }
    }

    /// Receives up to `limit` messages, and at most [`MAX_RECEIVE_COUNT`]. They are hidden from other receivers for `hidden`, in
    /// whole seconds and at least one; then they are visible again, unless they were deleted.
    ///
    /// If the response is lost, its messages are hidden for that time without a receiver. A Storage queue rejects more than
    /// seven days.
    ///
    /// # Errors
    ///
    /// Returns a [`QueueError`] if the queue cannot be used.
    async fn receive(&self, limit: usize, hidden: Duration) -> Result<Vec<Received>, QueueError>;

    /// Hides a message for `hidden` from now on, in whole seconds; zero makes it visible immediately. A `body` replaces the
    /// message's body in the same step, in the same encoding. `received` is updated to the new state.
    ///
    /// If the response is lost, the request is repeated, and its own first effect looks like that of another receiver: the
    /// message may have the new body although an error of [`QueueError::is_gone`] is returned.
    ///
    /// # Errors
    ///
    /// Returns [`QueueError::Gone`] if the message was visible again and another receiver has received or deleted it, or any
    /// other [`QueueError`].
    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError>;

    /// Deletes a message permanently.
    ///
    /// # Errors
    ///
    /// The same as [`DeadLetterQueue::update`].
    async fn delete(&self, received: &Received) -> Result<(), QueueError>;
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id that the queue assigned.
    pub id: String,
    /// The body.
    pub body: Vec<u8>,
    /// When it was put, in milliseconds since 1970, UTC; a Storage queue has whole seconds.
    pub inserted_ms: i64,
    /// When it expires, in milliseconds since 1970, UTC; `None` for never. A message that a Functions binding puts expires
    /// after seven days.
    pub expires_ms: Option<i64>,
    /// How often it was received, this time included.
    pub dequeue_count: i64,
}

/// A received message, which is hidden from other receivers for a while and may be updated or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// The receipt that an update or a deletion needs; each receive and update has a new one.
    pub receipt: String,
    /// Whether its text in the queue is base64, as the Functions binding writes it.
    pub is_base64: bool,
}

/// Why an operation on a queue failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The message was visible again, and another receiver has received or deleted it.
    #[error("{0}")]
    Gone(Cause),
    /// The queue rejects the body of this message. It may accept others.
    #[error("{0}")]
    Rejected(Cause),
    /// The queue cannot be used for any message: it is unreachable, locked or missing, or access is denied.
    #[error("{0}")]
    Unavailable(Cause),
}

impl Received {
    /// Applies an update that the queue has made: the new receipt, which invalidates the earlier one, and the new body, if
    /// there is one.
    pub fn apply_update(&mut self, receipt: String, body: Option<&[u8]>) {
        self.receipt = receipt;
        if let Some(body) = body {
            self.message.body = body.to_vec();
        }
    }
}

impl QueueError {
    /// Returns true if another receiver has received or deleted the message since it was received.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Returns true if the queue rejects the body of this message and may accept others.
    #[must_use]
    pub fn is_message_specific(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }

    /// Returns the underlying error of the service or the file.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        match self {
            Self::Gone(cause) | Self::Rejected(cause) | Self::Unavailable(cause) => &**cause,
        }
    }
}

/// Returns how many messages to request together for a limit of `limit`: 1 to [`MAX_RECEIVE_COUNT`].
#[must_use]
pub fn receive_count(limit: usize) -> i32 {
    i32::try_from(limit.clamp(1, MAX_RECEIVE_COUNT)).unwrap_or(1)
}
