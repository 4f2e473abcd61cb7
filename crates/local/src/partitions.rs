//! How the host reads an event hub: one batch in flight for each partition that an instance owns, the retry policy of
//! function.json, and a checkpoint after each batch, also after one whose last retry failed.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::Source,
    clock::{Clock as _, System},
};
use tokio::task::JoinSet;

use super::{
    broker::{Broker, Metric, PartitionAssignment},
    endpoint::Endpoint,
    envelope::{self, Retry},
    host::Host,
    hub::{BatchLimits, Hub, HubEvent, Sent},
    reply::Accepted,
};

impl Broker for Hub {
    const PROVIDER: &'static str = "MICROSOFT.EVENTHUB";

    async fn send(&self, sent: Sent) {
        Hub::send(self, sent).await;
    }

    fn close(&self) {
        Hub::close(self);
    }

    /// An instance without a partition has nothing to do.
    fn max_instances(&self) -> usize {
        self.partitions()
    }

    async fn read(self: Arc<Self>, host: Arc<Host>, assignment: PartitionAssignment) {
        // Aborted when this is dropped: a stopped host cancels its retry loops and sets no checkpoint.
        let mut pumps = JoinSet::new();
        for partition in (assignment.index..self.partitions()).step_by(assignment.count) {
            pumps.spawn(pump(Arc::clone(&self), Arc::clone(&host), partition));
        }
        while pumps.join_next().await.is_some() {}
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::Count("IncomingMessages", self.incoming()), Metric::Count("ThrottledRequests", self.throttled())]
    }
}

/// Reads a partition, one batch after another.
async fn pump(hub: Arc<Hub>, host: Arc<Host>, partition: usize) {
    let settings = &host.instance.host.extensions.event_hubs;
    let limits = BatchLimits {
        min_events: settings.min_event_batch_size,
        max_events: settings.max_event_batch_size,
        max_wait: settings.max_wait_time,
    };
    let listener = Listener::new(&host, partition);
    let mut next = hub.checkpoint(partition);
    let mut batches = 0;
    while let Some(events) = hub.receive(partition, next, limits).await {
        next = events.last().map_or(next, |event| event.sequence_number + 1);
        let invoked = listener.invoke(&events).await;
        // There is no await from here to the checkpoint, so a stop cannot separate the counts from it.
        let statistics = &host.instance.statistics;
        match invoked {
            Some((accepted, took)) => {
                statistics.record_batch(partition, &events, &accepted.logs, took, System.now_ms());
            }
            None => statistics.record_lost(partition, &events),
        }
        batches += 1;
        if batches % settings.batch_checkpoint_frequency.max(1) == 0 {
            hub.set_checkpoint(partition, next);
        }
    }
}

/// Invokes the function for one partition.
struct Listener<'a> {
    host: &'a Host,
    source: Source,
    endpoint: Endpoint,
}

impl<'a> Listener<'a> {
    fn new(host: &'a Host, partition: usize) -> Self {
        let source = Source { partition_id: partition.to_string(), ..host.instance.source.clone() };
        Self { host, source, endpoint: host.endpoint() }
    }

    /// Invokes the function for a batch, with retries. `None` if the last retry failed.
    async fn invoke(&self, events: &[Arc<HubEvent>]) -> Option<(Accepted, Duration)> {
        let function = &self.host.instance.function;
        let request = |retry: Option<&Retry>| envelope::request(function, &self.source, events, retry, System.now_ms());
        self.host.invoke_with_retries(&self.endpoint, request).await.ok()
    }
}
