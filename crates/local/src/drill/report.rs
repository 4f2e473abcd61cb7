//! The result of a drill.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

use crate::{check::Check, report::Timeline};

/// A completed step of a drill.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The step.
    pub step: StepName,
    /// The result of the step, as text.
    pub detail: String,
    /// When it was completed, since the start of the drill.
    #[serde(skip)]
    pub at: Duration,
}

/// The steps of a drill, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StepName {
    /// The first region processes events.
    Baseline,
    /// The store's other region has received every write.
    Replication,
    /// More writes, which the other region has not received.
    ReplicationLag,
    /// The first region stops while events arrive.
    RegionLost,
    /// The store's other region takes over.
    StoreFailover,
    /// Producers send to the standby region.
    AliasFailover,
    /// The first region is available again, and its checkpoints are set back.
    RegionRecovered,
    /// Both regions process events.
    BothRegionsActive,
    /// Producers send to the first region again.
    Failback,
}

/// The result of a drill.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// How the events were decoded: as drones, unless the app has telemetry of its own.
    pub telemetry: String,
    /// The completed steps.
    pub steps: Vec<Step>,
    /// Events in the first region's hub, invalid ones included.
    pub first_region_events: u64,
    /// Events in the standby region's hub, invalid ones included.
    pub standby_region_events: u64,
    /// Readings that were written and acknowledged, and that the failover of the store lost.
    pub readings_lost: usize,
    /// Events that were read again because the checkpoints were set back.
    pub events_read_again: u64,
    /// The comparison of the documents with the fold of the events of both hubs.
    pub check: Check,
    /// The state files: the documents with the first region's dead letters, and the standby region's dead letters.
    pub state_files: Vec<PathBuf>,
    /// What happened in the first region.
    #[serde(skip)]
    pub first_region: Timeline,
    /// What happened in the standby region.
    #[serde(skip)]
    pub standby_region: Timeline,
}

impl DrillReport {
    /// Returns whether the failover lost readings and the standby region received events. A drill with too few events does neither.
    #[must_use]
    pub fn is_conclusive(&self) -> bool {
        self.readings_lost > 0 && self.standby_region_events > 0
    }

    /// Returns whether the drill is conclusive and its check passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.is_conclusive() && self.check.is_passed()
    }
}
