//! The metrics of the hub or the queue, as Azure Monitor would have them of the service that is played.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::interval};

use super::{
    intake::{Intake, Metric},
    monitor::Monitor,
};

/// How often metrics get a row. The service's are of a minute; a run may be over by then.
const METRICS_EVERY: Duration = Duration::from_secs(1);

/// The metrics of a hub or a queue, told while it goes.
pub(super) struct Metrics<I> {
    told: Arc<Mutex<Told<I>>>,
    ticks: JoinHandle<()>,
}

/// What was told of it so far.
struct Told<I> {
    monitor: Arc<Monitor>,
    namespace: String,
    intake: Arc<I>,
    counts: BTreeMap<&'static str, u64>,
}

impl<I: Intake> Metrics<I> {
    /// Tells them from now on, under the name of the namespace.
    pub(super) fn start(monitor: &Arc<Monitor>, namespace: &str, intake: &Arc<I>) -> Self {
        let told = Arc::new(Mutex::new(Told {
            monitor: Arc::clone(monitor),
            namespace: namespace.to_owned(),
            intake: Arc::clone(intake),
            counts: BTreeMap::new(),
        }));
        let shared = Arc::clone(&told);
        let ticks = tokio::spawn(async move {
            let mut ticks = interval(METRICS_EVERY);
            loop {
                ticks.tick().await;
                shared.lock().unwrap_or_else(PoisonError::into_inner).tell();
            }
        });
        Self { told, ticks }
    }

    /// Tells at once what is still to be told.
    pub(super) fn tell(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).tell();
    }
}

impl<I> Drop for Metrics<I> {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

impl<I: Intake> Told<I> {
    /// Rows of what came since the last ones, and of what is there now.
    fn tell(&mut self) {
        for metric in self.intake.metrics() {
            let (name, value) = match metric {
                Metric::Level(name, now) => (name, now),
                Metric::Count(name, now) => (name, now - self.counts.insert(name, now).unwrap_or_default()),
            };
            self.monitor.metric(I::PROVIDER, &self.namespace, name, value);
        }
    }
}
