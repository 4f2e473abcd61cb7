//! The service to which producers send and from which instances of the function app read: an event hub, or a queue with sessions.

use std::{collections::BTreeMap, sync::Arc};

use devicestate_live::PartitionFigures;

use super::{host::Host, hub::Sent};

/// An event hub, or a queue with sessions.
pub(super) trait Broker: Send + Sync + 'static {
    /// The resource provider of [`Broker::metrics`], as Azure Monitor names it.
    const PROVIDER: &'static str;

    /// Sends an event. Waits while the broker is full.
    fn send(&self, sent: Sent) -> impl Future<Output = ()> + Send;

    /// Marks the end of the input: readers end when everything is processed.
    fn close(&self);

    /// Returns how many instances can read at the same time.
    fn max_instances(&self) -> usize;

    /// Returns the number of partitions; `None` for a queue with sessions.
    fn partition_count(&self) -> Option<usize>;

    /// Returns what waits in each partition, if the events before these sequence numbers are processed.
    fn waiting(&self, processed_until: &BTreeMap<usize, i64>) -> Vec<PartitionFigures>;

    /// Reads an instance's part, until its host stops or the broker is closed and everything is processed.
    ///
    /// If this future is dropped, events in flight are left to the next reader.
    fn read(self: Arc<Self>, host: Arc<Host>, assignment: PartitionAssignment) -> impl Future<Output = ()> + Send;

    /// Returns the metrics that the service would report.
    fn metrics(&self) -> Vec<Metric>;
}

/// The part of the partitions that an instance reads: every `count`th one, from `index` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartitionAssignment {
    /// The instance's index, from 0.
    pub(super) index: usize,
    /// The number of instances.
    pub(super) count: usize,
}

/// A metric, by the service's name for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Metric {
    /// A total since the start. Its increase is reported.
    Count(&'static str, u64),
    /// A current value.
    Level(&'static str, u64),
}
