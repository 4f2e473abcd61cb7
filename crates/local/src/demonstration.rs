//! The demonstration: a run without options that shows what happens to events when something fails.
//!
//! * Invalid events are mixed in.
//! * The handler is killed after it has written its first batch and before the host has read the reply, so the host repeats the
//!   batch.
//! * When all events are processed, the checkpoints are set back, so all events but the first ones are delivered again.
//!
//! The faults depend on what has happened and never on the clock, so every run has the same ones. At the end the
//! [check](crate::report::Check) compares the documents with the fold of the events that were sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate_terminal::interrupt::Shutdown;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    hub::Hub,
    invalid_events::InvalidEventRate,
    run::{Interrupted, LocalRun},
};

/// The rate of invalid events, unless the options give another one.
pub(super) const INVALID_EVENT_RATE: InvalidEventRate = InvalidEventRate::from_percent(1);

/// The number of events that are in the hub when the instances start. The handler is killed in the first batch of them.
const FIRST_EVENTS: u64 = 100;

/// How often the demonstration checks whether all events are processed.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The faults that a demonstration has injected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InjectedFaults {
    /// Handlers that were killed during a batch.
    pub handlers_killed: u64,
    /// How often the checkpoints were set back.
    pub rewinds: u64,
    /// Events that were read again because of that.
    pub events_read_again: u64,
}

/// Kills a handler during a batch.
#[derive(Debug, Default)]
pub(super) struct KillSwitch {
    is_armed: AtomicBool,
    killed: AtomicU64,
}

impl KillSwitch {
    /// Arms the switch: at the next reply its handler is killed, and the reply is lost.
    fn arm(&self) {
        self.is_armed.store(true, Relaxed);
    }

    /// Returns whether the handler must be killed now: once after each [`arm`](Self::arm).
    pub(super) fn disarm(&self) -> bool {
        let is_armed = self.is_armed.swap(false, Relaxed);
        self.killed.fetch_add(is_armed.into(), Relaxed);
        is_armed
    }
}

/// Sends the input and injects the faults. The run is not yet finished afterwards.
pub(super) async fn run(run: &mut LocalRun<Hub>) -> Result<InjectedFaults, Interrupted> {
    // The hub has these events before an instance reads, so that the killed handler has a batch of many events.
    run.send(FIRST_EVENTS).await?;
    run.region.kill_switch.arm();
    run.region.start();
    wait_until_processed(run).await?;
    let second_part_ms = run.clock.now_ms();
    run.send(u64::MAX).await?;
    wait_until_processed(run).await?;
    let mut faults = InjectedFaults::default();
    if *run.stop.borrow() == Shutdown::Running {
        run.region.stop().await;
        faults.events_read_again = run.broker.rewind(second_part_ms);
        faults.rewinds = 1;
        run.region.start();
    }
    faults.handlers_killed = run.region.kill_switch.killed.load(Relaxed);
    Ok(faults)
}

/// Waits until every event that was sent is processed. Checkpoints may follow later, by `batchCheckpointFrequency`.
async fn wait_until_processed(run: &mut LocalRun<Hub>) -> Result<(), Interrupted> {
    let statistics = Arc::clone(&run.statistics);
    run.while_running(async {
        while statistics.processed.load(Relaxed) < statistics.received.load(Relaxed) {
            sleep(POLL_INTERVAL).await;
        }
    })
    .await
}
