//! A region on this machine: a hub or a queue under the name of its namespace, the instances of a function app that read
//! it, and the queue of their dead letters. What a region loses when it goes is what a process loses that is killed.

use std::sync::Arc;

use devicestate_engine::batch::Source;
use devicestate_sqlite::SqliteQueue;
use devicestate_terminal::interrupt::Shutdown;
use tokio::{sync::watch, task::JoinSet};

use super::{
    host::Instance,
    intake::{Intake, Share},
    metrics::Metrics,
    statistics::Statistics,
    timers,
};

/// A region.
pub(super) struct Region<I> {
    /// Its hub or queue.
    pub(super) intake: Arc<I>,
    /// What is counted of it.
    pub(super) statistics: Arc<Statistics>,
    /// The queue of its dead letters.
    pub(super) queue: SqliteQueue,
    /// Where its events say that they come from; without a partition.
    pub(super) source: Source,
    /// How many instances share the intake.
    pub(super) instances: usize,
    /// What each of them is like.
    model: Instance,
    hosts: JoinSet<Result<(), String>>,
    at_once: watch::Sender<bool>,
    metrics: Metrics<I>,
}

impl<I: Intake> Region<I> {
    /// A region in which nothing runs yet.
    pub(super) fn new(model: Instance, intake: Arc<I>, instances: usize) -> Self {
        Self {
            statistics: Arc::clone(&model.statistics),
            queue: model.queue.clone(),
            source: model.source.clone(),
            instances: instances.min(intake.most_instances()),
            metrics: Metrics::start(&model.monitor, &model.source.fully_qualified_namespace, &intake),
            intake,
            model,
            hosts: JoinSet::new(),
            at_once: watch::Sender::new(false),
        }
    }

    /// Starts the instances; each reads its share, from where the last one was done.
    pub(super) fn start(&mut self) {
        self.at_once.send_replace(false);
        for number in 0..self.instances {
            let name = format!("{}/{number}", self.source.fully_qualified_namespace);
            let instance = Instance { name, ..self.model.clone() };
            let share = Share { number, of: self.instances };
            self.hosts.spawn(instance.run(Arc::clone(&self.intake), share, self.at_once.subscribe()));
        }
    }

    /// Waits until an instance ends, by itself when its intake is closed and done with; `None` when none is left.
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
    pub(super) async fn call_timers(&self, stop: &mut watch::Receiver<Shutdown>) -> Result<(), String> {
        let name = format!("{}/timers", self.source.fully_qualified_namespace);
        timers::call(&Instance { name, ..self.model.clone() }, stop).await
    }

    /// Kills what runs, at once. Nothing is settled any more; each instance has ended its handler when this returns.
    pub(super) async fn stop(&mut self) {
        self.at_once.send_replace(true);
        while self.hosts.join_next().await.is_some() {}
        self.metrics.tell();
    }
}
