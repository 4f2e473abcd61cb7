//! A region on this machine: a hub under the name of its namespace, the instances of a function app that read it, and the
//! queue of their dead letters. What a region loses when it goes is what a process loses that is killed.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};

use super::{host::Instance, hub::Hub, monitor::Metrics, statistics::Statistics, timers};
use crate::{batch::Source, queue::SqliteQueue};

/// A region.
pub(super) struct Region {
    /// Its hub.
    pub(super) hub: Arc<Hub>,
    /// What is counted of it.
    pub(super) statistics: Arc<Statistics>,
    /// The queue of its dead letters.
    pub(super) queue: SqliteQueue,
    /// Where its events say that they come from; without a partition.
    pub(super) source: Source,
    /// How many instances share the hub.
    pub(super) instances: usize,
    /// What each of them is like.
    model: Instance,
    hosts: JoinSet<Result<(), String>>,
    at_once: watch::Sender<bool>,
    metrics: Metrics,
}

impl Region {
    /// A region in which nothing runs yet. Instances without a partition would have nothing to do.
    pub(super) fn new(model: Instance, instances: usize) -> Self {
        Self {
            hub: Arc::clone(&model.hub),
            statistics: Arc::clone(&model.statistics),
            queue: model.queue.clone(),
            source: model.source.clone(),
            instances: instances.min(model.hub.partitions()),
            metrics: Metrics::start(&model.monitor, &model.source.fully_qualified_namespace, &model.hub),
            model,
            hosts: JoinSet::new(),
            at_once: watch::Sender::new(false),
        }
    }

    /// Starts the instances; each owns its part of the partitions, and reads from the checkpoints on.
    pub(super) fn start(&mut self) {
        self.at_once.send_replace(false);
        for number in 0..self.instances {
            let partitions = (number..self.hub.partitions()).step_by(self.instances).collect();
            let name = format!("{}/{number}", self.source.fully_qualified_namespace);
            let instance = Instance { name, partitions, ..self.model.clone() };
            self.hosts.spawn(instance.run(self.at_once.subscribe()));
        }
    }

    /// Waits until an instance ends, by itself when its hub is closed and empty; `None` when none is left.
    ///
    /// # Errors
    ///
    /// Why it cannot go on.
    pub(super) async fn ended(&mut self) -> Option<Result<(), String>> {
        let ended = self.hosts.join_next().await?;
        Some(ended.unwrap_or_else(|panic| Err(panic.to_string())))
    }

    /// Calls the timer functions once, in a handler of their own; `stop` ends it when it comes to two.
    ///
    /// # Errors
    ///
    /// Why one of them failed.
    pub(super) async fn call_timers(&self, stop: &mut watch::Receiver<u8>) -> Result<(), String> {
        let name = format!("{}/timers", self.source.fully_qualified_namespace);
        timers::call(&Instance { name, ..self.model.clone() }, stop).await
    }

    /// Kills what runs, at once. No checkpoint follows; each instance has ended its handler when this returns.
    pub(super) async fn stop(&mut self) {
        self.at_once.send_replace(true);
        while self.hosts.join_next().await.is_some() {}
        self.metrics.tell();
    }
}
