//! The host's side: what is read, and the invocations that come of it.

mod partitions;
mod sessions;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use devicestate_engine::function_app::{Function, MessageEncoding};
use devicestate_local::{
    endpoint::Endpoint,
    hub::Hub,
    reply::{self, ReplyError},
    sessions::queue::SessionQueue,
};
use devicestate_ordering::plan::Plan;
use tokio::sync::watch;

use crate::error::Error;

/// What the producers have sent to, and an instance reads.
#[derive(Clone)]
pub(crate) enum Intake {
    Hub(Arc<Hub>),
    Sessions(Arc<SessionQueue>),
}

/// One instance's host.
pub(crate) struct Host {
    pub(crate) plan: Plan,
    pub(crate) function: Function,
    pub(crate) endpoint: Endpoint,
    /// How many events are pulled from a partition at a time, at the most.
    pub(crate) batch: usize,
    pub(crate) invocations: Arc<AtomicU64>,
    /// How many of its readers (of a partition, or of one session after the other) have something in hand, or may find
    /// something.
    pub(crate) busy: watch::Sender<usize>,
}

impl Host {
    /// Reads everything, until nothing is left.
    pub(crate) async fn run(self, intake: &Intake) -> Result<(), Error> {
        let host = Arc::new(self);
        match intake {
            Intake::Hub(hub) => partitions::read(&host, hub).await,
            Intake::Sessions(queue) => sessions::read(&host, queue).await,
        }
    }

    /// One attempt of an invocation, or why it has failed.
    async fn attempt(&self, invocation_id: &str, request: String) -> Result<(), String> {
        self.invocations.fetch_add(1, Relaxed);
        let (status, content_type, body) = self.endpoint.post(invocation_id, request).await?;
        let queue = &self.function.dead_letters.name;
        match reply::read(status, content_type.as_deref(), &body, queue, MessageEncoding::Base64) {
            Ok(_) => Ok(()),
            Err(ReplyError::Failed(reason)) => Err(reason),
            Err(ReplyError::Hangs) => Err("the reply is one that the host would wait behind for ever".to_owned()),
        }
    }
}
