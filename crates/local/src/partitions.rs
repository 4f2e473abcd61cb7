//! How the host reads an event hub: one batch in flight for each partition that an instance owns, the retry policy of
//! function.json, and a checkpoint after each batch, also after one whose last retry failed.
//!
//! A host that stops waits for its batches and sets no checkpoint. After a lost lease the new owner begins at the checkpoint, while
//! the old owner's batch goes on and then sets the checkpoint back.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, pin::Pin, sync::Arc};

use devicestate_engine::{
    batch::Source,
    clock::{Clock as _, System},
};
use devicestate_live::PartitionFigures;
use devicestate_terminal::count_of;
use tokio::task::JoinSet;

use super::{
    broker::{Broker, Metric, PartitionAssignment},
    endpoint::Endpoint,
    envelope::{self, Retry},
    host::{Host, InvocationError},
    hub::{BatchLimits, Hub, HubEvent, Sent},
    timeline::HappeningKind,
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

    fn partition_count(&self) -> Option<usize> {
        Some(self.partitions())
    }

    fn waiting(&self, processed_until: &BTreeMap<usize, i64>) -> Vec<PartitionFigures> {
        let now_ms = self.now_ms();
        let figures = |partition| {
            let (waiting, oldest_ms) =
                Hub::waiting(self, partition, processed_until.get(&partition).copied().unwrap_or_default());
            let lag_ms = oldest_ms.map_or(0, |oldest_ms| u64::try_from(now_ms - oldest_ms).unwrap_or_default());
            PartitionFigures { partition: partition.to_string(), waiting, lag_ms }
        };
        (0..self.partitions()).map(figures).collect()
    }

    async fn read(self: Arc<Self>, host: Arc<Host>, assignment: PartitionAssignment) {
        let max_events = host.instance.host.extensions.event_hubs.max_event_batch_size;
        // Aborted when this is dropped: a killed host sets no checkpoint.
        let mut pumps = JoinSet::new();
        for partition in (assignment.index..self.partitions()).step_by(assignment.count) {
            pumps.spawn(pump(Arc::clone(&self), Arc::clone(&host), partition, max_events));
        }
        while pumps.join_next().await.is_some() {}
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::Count("IncomingMessages", self.incoming()), Metric::Count("ThrottledRequests", self.throttled())]
    }
}

/// Reads a partition from its checkpoint on, one batch after another, until everything is read or the host stops.
async fn pump(hub: Arc<Hub>, host: Arc<Host>, partition: usize, max_events: usize) {
    let settings = &host.instance.host.extensions.event_hubs;
    // The first batch does not wait: the previous owner may have waited with its events.
    let mut limits = BatchLimits { min_events: 1, max_events, max_wait: settings.max_wait_time };
    let mut owner = Owner::new(&hub, &host, partition);
    let mut next = hub.checkpoint(partition);
    loop {
        let events = tokio::select! {
            biased;
            () = host.wait_for_stop() => return,
            events = hub.receive(partition, next, limits) => events,
        };
        let Some(events) = events else { return };
        limits.min_events = settings.min_event_batch_size.min(max_events);
        if let Some(mut delay) = host.instance.lease_switch.lose(events.len()) {
            let lost = format!("partition {partition}, {}", count_of(events.len() as u64, "event"));
            host.instance.statistics.happenings.record(HappeningKind::LeaseLost, &lost, 1);
            let old_call = async {
                let _ = delay.wait_for(|is_released| *is_released).await;
                owner.process(&events, false).await;
                drop(delay);
            };
            // Not all of the events were there when the new owner asked for a batch.
            let new_owner = new_owner(&hub, &host, partition, events.len().div_ceil(2));
            tokio::join!(old_call, new_owner);
            return;
        }
        owner.process(&events, true).await;
        next = events.last().map_or(next, |event| event.sequence_number + 1);
    }
}

/// Returns the [`pump`] of a partition's new owner.
fn new_owner(
    hub: &Arc<Hub>,
    host: &Arc<Host>,
    partition: usize,
    max_events: usize,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(pump(Arc::clone(hub), Arc::clone(host), partition, max_events))
}

/// Owns the lease of a partition, or has lost it during a batch.
struct Owner<'a> {
    hub: &'a Hub,
    host: &'a Host,
    partition: usize,
    source: Source,
    endpoint: Endpoint,
    batches: usize,
}

impl<'a> Owner<'a> {
    fn new(hub: &'a Hub, host: &'a Host, partition: usize) -> Self {
        let source = Source { partition_id: partition.to_string(), ..host.instance.source.clone() };
        Self { hub, host, partition, source, endpoint: host.endpoint(), batches: 0 }
    }

    /// Invokes the function for a batch, with retries, and sets the checkpoint. A stop and the loss of the lease cancel retries, and
    /// no checkpoint follows; after a stop also none follows a success.
    async fn process(&mut self, events: &[Arc<HubEvent>], has_lease: bool) {
        let instance = &self.host.instance;
        let request =
            |retry: Option<&Retry>| envelope::request(&instance.function, &self.source, events, retry, System.now_ms());
        let invoked = self.host.invoke_with_retries(&self.endpoint, has_lease, request).await;
        // There is no await from here to the checkpoint, so a kill cannot separate the counts from it.
        match invoked {
            Ok((accepted, took)) => {
                instance.statistics.record_batch(self.partition, events, &accepted.logs, took, System.now_ms());
            }
            Err(InvocationError::Cancelled(_)) => return,
            Err(InvocationError::LastAttempt(_)) if self.host.is_stopping() => return,
            Err(InvocationError::LastAttempt(_)) => instance.statistics.record_lost(self.partition, events),
        }
        self.batches += 1;
        let frequency = instance.host.extensions.event_hubs.batch_checkpoint_frequency;
        let is_due = self.batches.is_multiple_of(frequency.max(1));
        if let Some(last) = events.last()
            && is_due
            && !self.host.is_stopping()
        {
            self.hub.set_checkpoint(self.partition, last.sequence_number + 1);
        }
    }
}
