//! A run of `devicestate local`: from the options to the report.

use std::sync::Arc;

use devicestate_engine::{
    clock::Clock,
    device_state::Document,
    processor::{heard_every, max_readings},
    store,
};
use devicestate_sqlite::Database;

use crate::{
    check::{Check, dead_letters_after, newest_dead_letter},
    demonstration,
    documents::Documents,
    error::LocalError,
    feed::open_input,
    fold::Fold,
    hub::{self, Hub},
    instance::InstanceError,
    local_run::{Details, LocalRun},
    options::{Options, Sessions},
    region::Region,
    report::{Report, SessionQueueReport},
    sessions::queue::{self, SessionQueue},
    setup::{BackdatedClock, Setup},
    throughput::Throughput,
};

/// Runs the system until every event of the input is processed, or until Ctrl-C: then it sends no more events, finishes those
/// that were sent, and reports. With [`Options::front`] it also stays after the input, until Ctrl-C. The timer functions are called
/// once at the end, and without an end by their schedules.
///
/// # Errors
///
/// [`LocalError`], before anything is sent. Later failures are in [`Report::failures`].
pub async fn run(options: Options) -> Result<Report, LocalError> {
    let setup = Setup::new(&options)?;
    // A state file that cannot be used is reported first, because the input may wait for a terminal. It is closed meanwhile, so that
    // a killed process leaves no log.
    drop(setup.open_state()?);
    let input = open_input(&options, &setup)?;
    let clock: Arc<dyn Clock> = Arc::new(BackdatedClock { by_ms: options.backdate_ms });
    let next_sequence_number = setup.documents.next_sequence_number(&*clock).await;
    if let Some(Sessions { max_delivery_count }) = options.sessions {
        let first_sequence_number = next_sequence_number.max(1);
        let queue = queue::Options { clock: Arc::clone(&clock), max_delivery_count, first_sequence_number };
        let queue = SessionQueue::new(queue);
        let mut run = LocalRun::new(setup, &options, input, clock, Arc::clone(&queue)).await?;
        run.start();
        let sent = run.send(u64::MAX).await;
        let sent = run.stay_after(sent).await;
        let ended = run.end(sent).await;
        let session_queue = SessionQueueReport::new(queue.counts(), &run.statistics);
        return run.report(ended, Details { session_queue: Some(session_queue), ..Details::default() }).await;
    }
    let is_demonstration = options.is_demonstration();
    let should_check = is_demonstration || options.should_check;
    let throughput = options.throughput_units.map(Throughput::new);
    let hub = hub::Options {
        clock: Arc::clone(&clock),
        throughput,
        retains_events: should_check,
        first_sequence_number: next_sequence_number,
    };
    let hub = Arc::new(Hub::new(options.partitions, hub));
    let expected = if should_check { Some(Expected::read(&setup).await?) } else { None };
    let mut run = LocalRun::new(setup, &options, input, clock, Arc::clone(&hub)).await?;
    let mut faults = None;
    let sent = if is_demonstration {
        demonstration::run(&mut run).await.map(|injected| faults = Some(injected))
    } else {
        run.start();
        run.send(u64::MAX).await
    };
    let sent = run.stay_after(sent).await;
    let mut ended = run.end(sent).await;
    let check = match expected {
        // The documents are complete only if all events were processed.
        Some(expected) if ended.is_ok() => match expected.check(&run.setup, &run.region, &hub).await {
            Ok(check) => Some(check),
            Err(error) => {
                ended = Err(InstanceError::Failed(format!("the check failed to run: {error}")));
                None
            }
        },
        _ => None,
    };
    run.report(ended, Details { partitions: Some(hub.partitions()), faults, check, ..Details::default() }).await
}

/// The state with which the check compares the documents and the dead-letter queue.
struct Expected {
    /// The documents that were stored before the run.
    fold: Fold,
    file: Database,
    /// The newest message in the dead-letter queue before the run.
    newest_dead_letter: i64,
}

impl Expected {
    async fn read(setup: &Setup) -> Result<Self, LocalError> {
        let file = setup.open_state()?;
        let mut fold = Fold::new(
            Arc::clone(&setup.telemetry.telemetry),
            heard_every(&setup.settings)?,
            max_readings(&setup.settings)?,
        );
        fold.add_documents(&read_stored(&setup.documents).await?);
        let newest_dead_letter = newest_dead_letter(&file).await?;
        Ok(Self { fold, file, newest_dead_letter })
    }

    /// Compares what is stored with the fold of all events that the hub retains.
    async fn check(mut self, setup: &Setup, region: &Region<Hub>, hub: &Hub) -> Result<Check, LocalError> {
        for partition in 0..hub.partitions() {
            self.fold.add_events(&region.source, partition, &hub.retained_events(partition));
        }
        let stored = read_stored(&setup.documents).await?;
        Ok(Check::new(self.fold, &stored, &dead_letters_after(&self.file, self.newest_dead_letter).await?))
    }
}

/// Reads all documents for the check.
async fn read_stored(documents: &Documents) -> Result<Vec<Document>, LocalError> {
    let unsupported = |reason: String| {
        LocalError::Unsupported(format!(
            "the documents cannot be checked: {reason}; use another store, or an input (--file, --devices) without --check"
        ))
    };
    let Some(store) = documents.open()? else {
        return Err(unsupported("StateStore is memory, which only the handler can read".into()));
    };
    let max = documents.max_read();
    let found = store::documents(&*store, max.saturating_add(1)).await?;
    if found.len() > max {
        return Err(unsupported(format!("the store holds more than {max} documents")));
    }
    Ok(found)
}
