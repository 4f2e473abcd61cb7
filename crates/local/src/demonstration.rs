//! The demonstration: a run without options that shows what happens to events when something fails.
//!
//! * Invalid events are mixed in.
//! * The lease of a partition is lost during its first batch. The new owner reads the same events in other batches. When it has
//!   processed everything, the old owner's call is made, with the oldest events, and sets the new owner's checkpoint back.
//! * The handler is killed after it has written the new owner's first batch and before the host has read the reply, so the host
//!   repeats the batch.
//! * When all events are processed, the hosts are stopped and the checkpoints of the other partitions are rewound, so all events but
//!   the first ones are delivered again.
//!
//! The faults depend on what has happened and never on the clock, so every run injects the same ones. How many other batches fail
//! with the killed handler depends on time. At the end the [check](crate::report::Check) compares the documents with the fold of
//! the events that were sent.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_terminal::{count_of, interrupt::Shutdown};
use tokio::time::sleep;

use super::{
    hub::Hub,
    injected_faults::InjectedFaults,
    local_run::{EarlyEnd, LocalRun},
    timeline::HappeningKind,
};

/// The number of events that are in the hub when the instances start. The lease of the first batch of them is lost.
const FIRST_EVENTS: u64 = 100;

/// How often the demonstration checks whether all events are processed.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Sends the input and injects the faults. The run is not yet finished afterwards.
pub(super) async fn run(run: &mut LocalRun<Hub>) -> Result<InjectedFaults, EarlyEnd> {
    let (kill_switch, lease_switch) = (Arc::clone(&run.region.kill_switch), Arc::clone(&run.region.lease_switch));
    // The hub has these events before an instance reads, so that the batches have many events.
    run.send(FIRST_EVENTS).await?;
    kill_switch.arm();
    lease_switch.arm();
    run.region.start();
    wait_until_processed(run).await?;
    let second_part_ms = run.clock.now_ms();
    run.send(u64::MAX).await?;
    wait_until_processed(run).await?;
    run.while_running(lease_switch.release()).await?;
    let mut faults = InjectedFaults::default();
    (faults.leases_lost, faults.events_read_again) = lease_switch.lost();
    if *run.stop.borrow() == Shutdown::Running {
        run.region.stop().await;
        // All events are processed, so those after a checkpoint are read again.
        faults.events_read_again += run.broker.unread() + run.broker.rewind(second_part_ms);
        faults.rewinds = 1;
        let again = format!("{} to read again", count_of(run.broker.unread(), "event"));
        run.statistics.happenings.record(HappeningKind::CheckpointsRewound, &again, 1);
        run.region.start();
    } else {
        run.is_shortened = true;
    }
    faults.handlers_killed = kill_switch.killed();
    Ok(faults)
}

/// Waits until every event that was sent is processed. Checkpoints may follow later, by `batchCheckpointFrequency`.
async fn wait_until_processed(run: &mut LocalRun<Hub>) -> Result<(), EarlyEnd> {
    run.broker.flush();
    let statistics = Arc::clone(&run.statistics);
    run.while_running(async {
        while statistics.processed.load(Relaxed) < statistics.received.load(Relaxed) {
            sleep(POLL_INTERVAL).await;
        }
    })
    .await
}
