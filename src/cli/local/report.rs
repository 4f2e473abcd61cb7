//! The report of `devicestate local`, for people.

use std::fmt;

use clap::ValueEnum;
use devicestate_engine::{record::DeadLetterQueueRecord, store::Operations};
use devicestate_local::report::{Events, GivenUp, Report, SessionQueueReport};
use devicestate_terminal::Table;

use crate::cli::state::table;

/// How to report at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    Json,
    Text,
}

/// The report as text.
pub(super) struct Text<'a>(pub(super) &'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self(report) = self;
        let Events { received, bad_added, applied, superseded, dead_lettered, lost, in_sub_queue, repeated } =
            &report.events;
        let mut rows = Table::new(["EVENTS", ""]);
        rows.row(["received".to_owned(), received.to_string()]);
        let rare = |table: &mut Table, name: &str, count: u64| {
            if count > 0 {
                table.row([name.to_owned(), count.to_string()]);
            }
        };
        rare(&mut rows, "bad ones added", *bad_added);
        rows.row(["applied".to_owned(), applied.to_string()]);
        rows.row(["superseded".to_owned(), superseded.to_string()]);
        rows.row(["dead-lettered".to_owned(), dead_lettered.to_string()]);
        rare(&mut rows, "lost", *lost);
        rare(&mut rows, "in the sub-queue", *in_sub_queue);
        rare(&mut rows, "repeated", *repeated);
        writeln!(f, "{rows}")?;

        let mut run = Table::new(["RUN", ""]);
        run.row(["devices".to_owned(), report.devices.to_string()]);
        if let Some(partitions) = report.partitions {
            run.row(["partitions".to_owned(), partitions.to_string()]);
        }
        if let Some(SessionQueueReport { sessions, deliveries, redeliveries, .. }) = &report.session_queue {
            run.row(["sessions".to_owned(), sessions.to_string()]);
            run.row(["deliveries".to_owned(), deliveries.to_string()]);
            rare(&mut run, "redeliveries", *redeliveries);
        }
        run.row(["instances".to_owned(), report.instances.to_string()]);
        run.row(["batches".to_owned(), report.batches.to_string()]);
        rare(&mut run, "failed attempts", report.failed_attempts);
        rare(&mut run, "handler restarts", report.handler_restarts);
        rare(&mut run, "host restarts", report.host_restarts);
        run.row(["store operations per event".to_owned(), format!("{:.4}", report.store_operations.per_event)]);
        let Operations { conflicts, retries, request_units, .. } = report.store_operations.total;
        rare(&mut run, "write conflicts", conflicts);
        rare(&mut run, "store retries", retries);
        if request_units > 0.0 {
            run.row(["request units".to_owned(), format!("{request_units:.2}")]);
        }
        if let Some(DeadLetterQueueRecord { messages, oldest_age_ms, .. }) = &report.dead_letter_queue {
            run.row(["dead letters in the queue".to_owned(), messages.to_string()]);
            if let Some(age) = oldest_age_ms {
                run.row(["oldest of them, seconds".to_owned(), (age / 1_000).to_string()]);
            }
        }
        run.row(["seconds".to_owned(), format!("{:.3}", report.seconds)]);
        run.row(["events/s".to_owned(), format!("{:.0}", report.events_per_second)]);
        for (name, quantiles) in [("invocation", &report.latency_ms.invocation), ("event", &report.latency_ms.event)] {
            run.row([format!("{name} p50, ms"), format!("{:.2}", quantiles.p50)]);
            run.row([format!("{name} p99, ms"), format!("{:.2}", quantiles.p99)]);
        }
        writeln!(f, "{run}")?;
        if let Some(SessionQueueReport { dead_letter_sub_queue, .. }) = &report.session_queue
            && !dead_letter_sub_queue.is_empty()
        {
            writeln!(f, "{}", sub_queue(dead_letter_sub_queue))?;
        }
        if !report.few.is_empty() {
            writeln!(f, "{}", table(&report.few))?;
        }
        let state = report.state.display();
        if report.state_store == "sqlite" {
            writeln!(f, "State and dead letters: {state}")?;
            writeln!(f, "Look at it with:        devicestate state list --state {state}")?;
            if report.dead_letter_messages > 0 {
                writeln!(f, "                        devicestate dead-letters list --state {state}")?;
            }
            return Ok(());
        }
        writeln!(f, "Dead letters: {state}")?;
        if report.dead_letter_messages > 0 {
            writeln!(f, "Look at them with: devicestate dead-letters list --state {state}")?;
        }
        if report.state_store == "memory" {
            return Ok(());
        }
        writeln!(f, "Look at the documents, with the same settings: devicestate state list")
    }
}

/// What is in the dead-letter sub-queue. Of many messages the first ones are enough: they tell what is wrong.
fn sub_queue(messages: &[GivenUp]) -> Table {
    const SHOWN: usize = 20;
    let mut table =
        Table::new(["IN THE SUB-QUEUE: SESSION", "MESSAGE", "SEQUENCE NUMBER", "DELIVERIES", "LAST REASON"]);
    for GivenUp { session_id, message_id, sequence_number, delivery_count, reason } in messages.iter().take(SHOWN) {
        table.row([
            session_id.clone(),
            message_id.clone(),
            sequence_number.to_string(),
            delivery_count.to_string(),
            reason.clone(),
        ]);
    }
    if let Some(more) = messages.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        table.row([format!("and {more} more"), String::new(), String::new(), String::new(), String::new()]);
    }
    table
}
