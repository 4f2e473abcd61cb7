//! The queue in which dead letters lie, whatever keeps it: a Storage queue in Azure, a table in the state file on one
//! machine.

use std::{error::Error, time::Duration};

use async_trait::async_trait;

use crate::failure::Cause;

/// The most messages that are received or peeked at in one request: the Storage service's limit, kept to everywhere.
pub const MAX_RECEIVE_COUNT: usize = 32;

/// A queue as the tools for dead letters see it, with the rules of a Storage queue: at least once, in no certain order.
#[async_trait]
pub trait DeadLetterQueue: Send + Sync {
    /// Its name and place, for people and for the audit, such as `deadletterqueue at drones.queue.core.windows.net`.
    fn name(&self) -> String;

    /// Puts a message that stays until somebody deletes it. When an answer is lost on the way the message may be there
    /// twice.
    ///
    /// # Errors
    ///
    /// [`QueueError`], as of all that follows.
    async fn put(&self, body: &[u8]) -> Result<(), QueueError>;

    /// Whether [`put`](Self::put) would take this body; nobody is asked.
    ///
    /// # Errors
    ///
    /// What it would say of the body.
    fn accepts(&self, _body: &[u8]) -> Result<(), QueueError> {
        Ok(())
    }

    /// About how many messages there are, those included that somebody has received and not deleted.
    async fn count(&self) -> Result<u64, QueueError>;

    /// Looks at up to `most` messages, [`MAX_RECEIVE_COUNT`] at the most, and leaves them as they are. Always the same ones,
    /// and hidden ones are not seen.
    async fn peek(&self, most: usize) -> Result<Vec<Message>, QueueError>;

    /// Takes up to `most` messages, [`MAX_RECEIVE_COUNT`] at the most. Nobody else sees them for `hidden`, of which whole
    /// seconds count, one at least; then they are back, unless they were deleted.
    ///
    /// When an answer is lost on the way, its messages are hidden for that time without anybody having them. A Storage
    /// queue refuses more than seven days.
    async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<Received>, QueueError>;

    /// Hides a message for so long from now on, in whole seconds; none at all gives it back at once. With a body, the
    /// message has that one from now on, in the encoding that it had: both in one step. What `received` holds is then as
    /// it is in the queue.
    ///
    /// When an answer is lost on the way, the request is repeated, and what it has done itself is taken for somebody
    /// else's doing: the message may have the body and be called gone.
    ///
    /// # Errors
    ///
    /// [`QueueError::is_gone`], when it was hidden no more and somebody else has it now, and any other.
    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError>;

    /// Deletes a message for good.
    ///
    /// # Errors
    ///
    /// As [`DeadLetterQueue::update`].
    async fn delete(&self, received: &Received) -> Result<(), QueueError>;
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The queue's id of it.
    pub id: String,
    /// What was put.
    pub body: Vec<u8>,
    /// When it was put, in milliseconds since 1970; a Storage queue counts whole seconds.
    pub inserted_ms: i64,
    /// When the queue forgets it, in milliseconds since 1970; `None` for never. What a Functions binding puts is
    /// forgotten after seven days.
    pub expires_ms: Option<i64>,
    /// How often it has been received, this time included.
    pub dequeue_count: i64,
}

/// A message that nobody else sees for a while, and the right to say what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// What shows that right; each hiding has another one.
    pub receipt: String,
    /// Whether its text in the queue is base64, as the Functions binding writes it.
    pub is_base64: bool,
}

/// Something that a queue did not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The message was hidden no more, and somebody else has received or deleted it since.
    #[error("{0}")]
    Gone(Cause),
    /// The queue does not take the body of this one message. Others may fare better.
    #[error("{0}")]
    Refused(Cause),
    /// The queue cannot be used, whatever the message: it is out of reach, locked, not there, or gives no right to it.
    #[error("{0}")]
    Unavailable(Cause),
}

impl Received {
    /// What an update comes to: a receipt of its own, before which the earlier one is worth nothing, and perhaps a body.
    pub fn updated(&mut self, receipt: String, body: Option<&[u8]>) {
        self.receipt = receipt;
        if let Some(body) = body {
            self.message.body = body.to_vec();
        }
    }
}

impl QueueError {
    /// Whether somebody else has taken or deleted the message since it was received.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Whether the queue does not take the body of this one message, so that others may fare better.
    #[must_use]
    pub fn is_message_specific(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// The failure of the service or the file that is behind it.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        match self {
            Self::Gone(cause) | Self::Refused(cause) | Self::Unavailable(cause) => &**cause,
        }
    }
}

/// As many as may be asked for at once, where so many are wanted.
#[must_use]
pub fn receive_count(most: usize) -> i32 {
    i32::try_from(most.clamp(1, MAX_RECEIVE_COUNT)).unwrap_or(1)
}
