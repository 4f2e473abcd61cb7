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
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_terminal::interrupt::Shutdown;
use tokio::time::sleep;

use super::{
    hub::Hub,
    injected_faults::InjectedFaults,
    local_run::{EarlyEnd, LocalRun},
};

/// The number of events that are in the hub when the instances start. The handler is killed in the first batch of them.
const FIRST_EVENTS: u64 = 100;

/// How often the demonstration checks whether all events are processed.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Sends the input and injects the faults. The run is not yet finished afterwards.
pub(super) async fn run(run: &mut LocalRun<Hub>) -> Result<InjectedFaults, EarlyEnd> {
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
    } else {
        run.is_shortened = true;
    }
    faults.handlers_killed = run.region.kill_switch.killed();
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
