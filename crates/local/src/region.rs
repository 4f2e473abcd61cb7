//! A region on this machine: a hub or a queue under the name of its namespace, the instances of a function app that read it,
//! and their dead-letter queue. Its hosts are stopped or, as with a lost region, killed.

use std::sync::Arc;

use devicestate_engine::batch::Source;
use devicestate_sqlite::SqliteQueue;
use devicestate_terminal::interrupt::Shutdown;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{
    broker::{Broker, PartitionAssignment},
    host::Instance,
    injected_faults::{KillSwitch, LeaseSwitch},
    instance::InstanceError,
    metrics::Metrics,
    statistics::Statistics,
    timeline::{HappeningKind, Sampler},
    timers,
};

/// A region.
pub(super) struct Region<B> {
    /// Its hub or queue.
    pub(super) broker: Arc<B>,
    /// Its counters.
    pub(super) statistics: Arc<Statistics>,
    /// Its dead-letter queue.
    pub(super) queue: SqliteQueue,
    /// The source of its events, without a partition.
    pub(super) source: Source,
    /// The number of instances that read the broker.
    pub(super) instances: usize,
    /// Kills a handler of the demonstration.
    pub(super) kill_switch: Arc<KillSwitch>,
    /// Loses a lease in the demonstration.
    pub(super) lease_switch: Arc<LeaseSwitch>,
    /// The template of each instance.
    template: Instance,
    hosts: JoinSet<Result<(), InstanceError>>,
    /// Calls the timer functions by their schedules in a run without an end.
    timers: Option<JoinHandle<()>>,
    shutdown: watch::Sender<Shutdown>,
    metrics: Metrics<B>,
    /// Takes samples of the counters.
    pub(super) sampler: Sampler,
}

impl<B: Broker> Region<B> {
    /// Returns a region whose instances are not started.
    pub(super) fn new(template: Instance, broker: Arc<B>, instances: usize) -> Self {
        Self {
            statistics: Arc::clone(&template.statistics),
            sampler: Sampler::start(&template.statistics),
            queue: template.queue.clone(),
            source: template.source.clone(),
            kill_switch: Arc::clone(&template.kill_switch),
            lease_switch: Arc::clone(&template.lease_switch),
            instances: instances.min(broker.max_instances()),
            metrics: Metrics::start(&template.monitor, &template.source.fully_qualified_namespace, &broker),
            broker,
            template,
            hosts: JoinSet::new(),
            timers: None,
            shutdown: watch::Sender::new(Shutdown::Running),
        }
    }

    /// Starts the instances. Each reads its partitions from the checkpoint on.
    pub(super) fn start(&mut self) {
        self.shutdown.send_replace(Shutdown::Running);
        self.statistics.happenings.record(HappeningKind::InstancesStarted, "", self.instances as u64);
        for index in 0..self.instances {
            let name = format!("{}/{index}", self.source.fully_qualified_namespace);
            let instance = Instance { name, ..self.template.clone() };
            let assignment = PartitionAssignment { index, count: self.instances };
            self.hosts.spawn(instance.run(Arc::clone(&self.broker), assignment, self.shutdown.subscribe()));
        }
    }

    /// Calls the timer functions by their schedules from now on, until the region is stopped or killed.
    pub(super) fn start_timers(&mut self) {
        if self.timers.is_none() {
            let calls = timers::call_by_schedule(self.timer_instance(), self.shutdown.subscribe());
            self.timers = Some(tokio::spawn(calls));
        }
    }

    /// Waits until an instance ends, which is normal when the broker is closed and everything is processed. `None` if no instance
    /// is running.
    ///
    /// # Errors
    ///
    /// The instance failed.
    pub(super) async fn wait_for_end(&mut self) -> Option<Result<(), InstanceError>> {
        let ended = self.hosts.join_next().await?;
        Some(ended.unwrap_or_else(|panic| Err(InstanceError::Failed(panic.to_string()))))
    }

    /// Calls the timer functions once, in a separate handler. [`Shutdown::Immediate`] ends the call.
    ///
    /// # Errors
    ///
    /// One of them failed.
    pub(super) async fn call_timers(&self, stop: &mut watch::Receiver<Shutdown>) -> Result<(), String> {
        timers::call(&self.timer_instance(), stop).await
    }

    /// Returns the instance of the timer functions.
    fn timer_instance(&self) -> Instance {
        let name = format!("{}/timers", self.source.fully_qualified_namespace);
        Instance { name, ..self.template.clone() }
    }

    /// Stops the hosts of the instances, as SIGTERM does: each waits for its running invocations, cancels retries, completes
    /// nothing more and kills its handler. What it waited for is delivered again.
    pub(super) async fn stop(&mut self) {
        self.statistics.happenings.record(HappeningKind::InstancesStopped, "", self.instances as u64);
        self.end(Shutdown::Draining).await;
    }

    /// Kills the instances. No further event is completed, and every handler has ended when this returns.
    pub(super) async fn kill(&mut self) {
        self.end(Shutdown::Immediate).await;
    }

    async fn end(&mut self, shutdown: Shutdown) {
        self.shutdown.send_replace(shutdown);
        while self.hosts.join_next().await.is_some() {}
        if let Some(timers) = self.timers.take() {
            let _ = timers.await;
        }
        self.metrics.report();
    }
}
