//! The metrics of the hub or the queue, as Azure Monitor would store them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::interval};

use super::{
    broker::{Broker, Metric},
    monitor::Monitor,
};

/// The interval between two rows of a metric. The service's interval is a minute, but a run may be shorter.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// The task that reports the metrics of a hub or a queue while it runs.
pub(super) struct Metrics<B> {
    reporter: Arc<Mutex<MetricsReporter<B>>>,
    ticks: JoinHandle<()>,
}

/// Writes metrics to the monitor and remembers the totals that it has written.
struct MetricsReporter<B> {
    monitor: Arc<Monitor>,
    namespace: String,
    broker: Arc<B>,
    reported: BTreeMap<&'static str, u64>,
}

impl<B: Broker> Metrics<B> {
    /// Reports from now on, under the name of the namespace.
    pub(super) fn start(monitor: &Arc<Monitor>, namespace: &str, broker: &Arc<B>) -> Self {
        let reporter = Arc::new(Mutex::new(MetricsReporter {
            monitor: Arc::clone(monitor),
            namespace: namespace.to_owned(),
            broker: Arc::clone(broker),
            reported: BTreeMap::new(),
        }));
        let shared = Arc::clone(&reporter);
        let ticks = tokio::spawn(async move {
            let mut ticks = interval(METRICS_INTERVAL);
            loop {
                ticks.tick().await;
                shared.lock().unwrap_or_else(PoisonError::into_inner).report();
            }
        });
        Self { reporter, ticks }
    }

    /// Reports now what has not been reported.
    pub(super) fn report(&self) {
        self.reporter.lock().unwrap_or_else(PoisonError::into_inner).report();
    }
}

impl<B> Drop for Metrics<B> {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

impl<B: Broker> MetricsReporter<B> {
    /// Writes a row for each metric: the increase of a count, the value of a level.
    fn report(&mut self) {
        for metric in self.broker.metrics() {
            let (name, value) = match metric {
                Metric::Level(name, now) => (name, now),
                Metric::Count(name, now) => (name, now - self.reported.insert(name, now).unwrap_or_default()),
            };
            self.monitor.write_metric(B::PROVIDER, &self.namespace, name, value);
        }
    }
}
