//! The host's side of an event hub: one batch in flight for each partition that an instance owns, the retry policy of
//! function.json, a checkpoint also behind a batch that failed for the last time.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::Source,
    clock::{Clock as _, System},
    function_app::RetryPolicy,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    endpoint::Endpoint,
    envelope::{self, Retry},
    host::Host,
    hub::{Hub, HubEvent, Sent},
    intake::{Intake, Metric, Share},
    reply::Accepted,
};

impl Intake for Hub {
    const PROVIDER: &'static str = "MICROSOFT.EVENTHUB";

    async fn send(&self, sent: Sent) {
        Hub::send(self, sent).await;
    }

    fn close(&self) {
        Hub::close(self);
    }

    /// One without a partition would have nothing to do.
    fn most_instances(&self) -> usize {
        self.partitions()
    }

    async fn read(self: Arc<Self>, host: Arc<Host>, share: Share) {
        // Aborted when this is dropped: a host that stops cancels its retry loops, and no checkpoint follows.
        let mut pumps = JoinSet::new();
        for partition in (share.number..self.partitions()).step_by(share.of) {
            pumps.spawn(pump(Arc::clone(&self), Arc::clone(&host), partition));
        }
        while pumps.join_next().await.is_some() {}
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::Count("IncomingMessages", self.incoming()), Metric::Count("ThrottledRequests", self.throttled())]
    }
}

/// Reads a partition, one batch after the other.
async fn pump(hub: Arc<Hub>, host: Arc<Host>, partition: usize) {
    let settings = &host.instance.host.extensions.event_hubs;
    let size = (settings.min_event_batch_size, settings.max_event_batch_size, settings.max_wait_time);
    let listener = Listener::new(&host, partition);
    let mut next = hub.checkpoint(partition);
    let mut batches = 0;
    while let Some(events) = hub.receive(partition, next, size).await {
        next = events.last().map_or(next, |event| event.sequence_number + 1);
        let answered = listener.invoke(&events).await;
        // Nothing is awaited from here to the checkpoint, so that the counts cannot stop in between.
        let statistics = &host.instance.statistics;
        match answered {
            Some((accepted, took)) => {
                statistics.answered(partition, &events, &accepted.logs, took, System.now_ms());
            }
            None => statistics.lost(partition, &events),
        }
        batches += 1;
        if batches % settings.batch_checkpoint_frequency.max(1) == 0 {
            hub.set_checkpoint(partition, next);
        }
    }
}

/// The listener of one partition.
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

    /// One batch with its retries; `None` when it failed for the last time.
    async fn invoke(&self, events: &[Arc<HubEvent>]) -> Option<(Accepted, Duration)> {
        let invocation_id = uuid::Uuid::new_v4().to_string();
        let function = &self.host.instance.function;
        let policy = function.retry.as_ref();
        let max_count = policy.map_or(0, RetryPolicy::max_retry_count);
        let mut retry = Retry { count: 0, max_count, exception: None };
        loop {
            let started = Instant::now();
            let told = policy.map(|_| &retry);
            let request = || envelope::request(function, &self.source, events, told, System.now_ms());
            let failed = match self.host.invoke(&self.endpoint, &invocation_id, request).await {
                Ok(accepted) => return Some((accepted, started.elapsed())),
                Err(reason) => reason,
            };
            let policy = policy.filter(|_| max_count < 0 || i64::from(retry.count) < max_count)?;
            retry.count += 1;
            retry.exception = Some(failed);
            sleep(policy.delay(retry.count)).await;
        }
    }
}
