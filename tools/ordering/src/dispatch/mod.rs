//! The host: reads events and invokes the handler.

mod partitions;
mod sessions;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use devicestate_engine::function_app::Function;
use devicestate_local::{
    endpoint::{Endpoint, HttpResponse},
    hub::Hub,
    reply::{self, ReplyError},
    sessions::queue::SessionQueue,
};
use devicestate_ordering::plan::Plan;
use tokio::sync::watch;

use crate::error::Error;

/// The hub or queue that an instance reads.
#[derive(Clone)]
pub(crate) enum Broker {
    Hub(Arc<Hub>),
    Sessions(Arc<SessionQueue>),
}

/// One instance's host.
pub(crate) struct Host {
    pub(crate) plan: Plan,
    pub(crate) function: Function,
    pub(crate) endpoint: Endpoint,
    /// The maximum number of events read from a partition at a time.
    pub(crate) batch: usize,
    pub(crate) invocations: Arc<AtomicU64>,
    /// The number of readers (of a partition, or of one session after another) that have events or may find some.
    pub(crate) busy: watch::Sender<usize>,
}

impl Host {
    /// Reads until all events are processed.
    pub(crate) async fn run(self, broker: &Broker) -> Result<(), Error> {
        let host = Arc::new(self);
        match broker {
            Broker::Hub(hub) => partitions::read(&host, hub).await,
            Broker::Sessions(queue) => sessions::read(&host, queue).await,
        }
    }

    /// Makes one attempt of an invocation.
    ///
    /// # Errors
    ///
    /// The reason why the attempt failed.
    async fn attempt(&self, invocation_id: &str, request: String) -> Result<(), String> {
        self.invocations.fetch_add(1, Relaxed);
        let HttpResponse { status, content_type, body } = self.endpoint.post(invocation_id, request).await?;
        let queue = &self.function.dead_letters.name;
        match reply::read(status, content_type.as_deref(), &body, queue) {
            Ok(_) => Ok(()),
            Err(ReplyError::Failed(reason)) => Err(reason),
            Err(ReplyError::Hangs) => Err("the host would wait forever after this reply".to_owned()),
        }
    }
}
