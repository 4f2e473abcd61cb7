//! The report of `devicestate local` as tables.

use std::fmt;

use devicestate_engine::{record::DeadLetterQueueRecord, store::Operations};
use devicestate_local::{
    Simulation,
    report::{
        Check, DeadLetteredMessage, Events, InjectedFaults, InputReport, Report, SessionQueueReport, decoding_settings,
    },
};
use devicestate_terminal::{Table, count_of};

use crate::cli::{dead_letters::shell_quoted, devices::documents_table, program};

/// The report as tables.
pub(super) struct Tables<'a>(pub(super) &'a Report);

impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self(report) = self;
        let interrupted = if report.interrupted { " (interrupted)" } else { "" };
        writeln!(f, "INPUT\n{}{interrupted}\ntelemetry: {}\n", InputLine(&report.input), report.telemetry)?;
        if let Some(faults) = &report.faults {
            writeln!(f, "{}", fault_table(faults, report.events.invalid_added))?;
        }
        writeln!(f, "{}", event_table(&report.events))?;
        writeln!(f, "{}", run_table(report))?;
        if let Some(SessionQueueReport { dead_letter_sub_queue, .. }) = &report.session_queue
            && !dead_letter_sub_queue.is_empty()
        {
            writeln!(f, "{}", sub_queue_table(dead_letter_sub_queue))?;
        }
        if !report.shown_documents.is_empty() {
            writeln!(f, "{}", documents_table(&report.shown_documents, None))?;
        }
        match &report.check {
            Some(check) => writeln!(f, "{}", CheckLines(check))?,
            None if report.session_queue.is_some() => writeln!(f, "CHECK: not run (not available with --sessions)\n")?,
            None if report.failures.error.is_some() => writeln!(f, "CHECK: not run (the run stopped early)\n")?,
            None => writeln!(f, "CHECK: not run (use --check)\n")?,
        }
        let state = report.state.display();
        let (devices, dead_letters) = (list_devices(report), list_dead_letters(report));
        if report.state_store == "sqlite" {
            writeln!(f, "Documents and dead letters: {state}")?;
            writeln!(f, "Inspect them with:          {}", devices.unwrap_or_default())?;
            return dead_letters.map_or(Ok(()), |command| writeln!(f, "                            {command}"));
        }
        writeln!(f, "Dead letters:      {state}")?;
        if let Some(command) = dead_letters {
            writeln!(f, "Inspect them with: {command}")?;
        }
        devices.map_or(Ok(()), |command| writeln!(f, "Inspect the documents, with the same settings: {command}"))
    }
}

/// Returns the command that lists the documents, if they are stored.
pub(super) fn list_devices(report: &Report) -> Option<String> {
    let program = program();
    match report.state_store {
        "sqlite" => {
            Some(format!("{program} devices list --state {}", shell_quoted(&report.state.display().to_string())))
        }
        "memory" => None,
        _ => Some(format!("{program} devices list")),
    }
}

/// Returns the command that lists the dead letters, if there are any.
pub(super) fn list_dead_letters(report: &Report) -> Option<String> {
    let (settings, state) = (decoding_settings(&report.telemetry), shell_quoted(&report.state.display().to_string()));
    (report.dead_letter_messages > 0).then(|| format!("{settings}{} dead-letters list --state {state}", program()))
}

/// The description of the input.
pub(super) struct InputLine<'a>(pub(super) &'a InputReport);

impl fmt::Display for InputLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            InputReport::Sample { file } => write!(f, "sample telemetry of two drones ({})", file.display()),
            InputReport::File { file } if file.as_os_str() == "-" => write!(f, "standard input"),
            InputReport::File { file } => write!(f, "{}", file.display()),
            InputReport::Http => write!(f, "events by HTTP"),
            InputReport::Simulation(Simulation { devices, events, seed, .. }) => {
                let (devices, events) = (count_of(*devices as u64, "simulated drone"), count_of(*events, "event"));
                write!(f, "{devices} with {events}, seed {seed}")
            }
        }
    }
}

fn fault_table(faults: &InjectedFaults, invalid_added: u64) -> Table {
    let InjectedFaults { handlers_killed, leases_lost, rewinds, events_read_again } = faults;
    let mut table = Table::new(["FAULTS", ""]);
    table.row(["invalid events mixed in".to_owned(), invalid_added.to_string()]);
    table.row(["handlers killed during a batch".to_owned(), handlers_killed.to_string()]);
    table.row(["leases lost during a batch".to_owned(), leases_lost.to_string()]);
    table.row(["checkpoint rewinds".to_owned(), rewinds.to_string()]);
    table.row(["  events delivered again".to_owned(), events_read_again.to_string()]);
    table
}

/// Adds a row if the count is not zero.
fn optional_row(table: &mut Table, name: &str, count: u64) {
    if count > 0 {
        table.row([name.to_owned(), count.to_string()]);
    }
}

fn event_table(events: &Events) -> Table {
    let Events { expected, received, invalid_added, applied, superseded, dead_lettered, .. } = events;
    let Events { unrecognized, ignored, lost, in_sub_queue, repeated, unfinished, records, received_by_http, .. } =
        events;
    let mut rows = Table::new(["EVENTS", ""]);
    let of_expected = expected.filter(|expected| expected != received).map(|expected| format!(" of {expected}"));
    rows.row(["received".to_owned(), format!("{received}{}", of_expected.unwrap_or_default())]);
    optional_row(&mut rows, "  of these invalid", *invalid_added);
    optional_row(&mut rows, "  of these by HTTP", *received_by_http);
    optional_row(&mut rows, "processed again", *repeated);
    rows.row(["applied".to_owned(), applied.to_string()]);
    rows.row(["superseded".to_owned(), superseded.to_string()]);
    rows.row(["dead-lettered".to_owned(), dead_lettered.to_string()]);
    optional_row(&mut rows, "unrecognized (not stored)", *unrecognized);
    optional_row(&mut rows, "ignored", *ignored);
    if *records as u64 > received + repeated {
        rows.row(["records in these events".to_owned(), records.to_string()]);
    }
    optional_row(&mut rows, "records with an unusable device time", events.unusable_device_times as u64);
    optional_row(&mut rows, "lost", *lost);
    optional_row(&mut rows, "in the sub-queue", *in_sub_queue);
    optional_row(&mut rows, "unfinished", *unfinished);
    rows
}

fn run_table(report: &Report) -> Table {
    let mut table = Table::new(["RUN", ""]);
    for row in run_rows(report) {
        table.row(row);
    }
    table
}

/// Returns what is known of a run, apart from its events.
pub(super) fn run_rows(report: &Report) -> Vec<[String; 2]> {
    fn push_count(rows: &mut Vec<[String; 2]>, name: &str, count: u64) {
        if count > 0 {
            rows.push([name.to_owned(), count.to_string()]);
        }
    }

    let mut run = Vec::new();
    run.push(["devices".to_owned(), report.devices.to_string()]);
    if let Some(partitions) = report.partitions {
        run.push(["partitions".to_owned(), partitions.to_string()]);
    }
    if let Some(SessionQueueReport { sessions, deliveries, redeliveries, .. }) = &report.session_queue {
        run.push(["sessions".to_owned(), sessions.to_string()]);
        run.push(["deliveries".to_owned(), deliveries.to_string()]);
        push_count(&mut run, "redeliveries", *redeliveries);
    }
    run.push(["instances".to_owned(), report.instances.to_string()]);
    run.push(["batches".to_owned(), report.batches.to_string()]);
    push_count(&mut run, "failed attempts", report.failed_attempts);
    push_count(&mut run, "handler restarts", report.handler_restarts);
    push_count(&mut run, "host restarts", report.host_restarts);
    run.push(["store operations per event".to_owned(), format!("{:.4}", report.store_operations.per_event)]);
    let Operations { conflicts, retries, request_units, .. } = report.store_operations.total;
    push_count(&mut run, "write conflicts", conflicts);
    push_count(&mut run, "store retries", retries);
    if request_units > 0.0 {
        run.push(["request units".to_owned(), format!("{request_units:.2}")]);
    }
    if let Some(DeadLetterQueueRecord { messages, oldest_age_ms, .. }) = &report.dead_letter_queue {
        run.push(["messages in the dead-letter queue".to_owned(), messages.to_string()]);
        if let Some(age) = oldest_age_ms {
            run.push(["  age of the oldest, seconds".to_owned(), (age / 1_000).to_string()]);
        }
    }
    run.push(["duration, seconds".to_owned(), format!("{:.3}", report.seconds)]);
    run.push(["events per second".to_owned(), format!("{:.0}", report.events_per_second)]);
    let latencies = [("invocation", &report.latency_ms.invocation), ("enqueued to reply", &report.latency_ms.event)];
    for (name, quantiles) in latencies {
        run.push([format!("{name}, p50, ms"), format!("{:.2}", quantiles.p50)]);
        run.push([format!("{name}, p99, ms"), format!("{:.2}", quantiles.p99)]);
    }
    run
}

/// Limits the messages of the dead-letter sub-queue that a report shows.
pub(super) const MAX_SHOWN_MESSAGES: usize = 20;

/// The messages in the dead-letter sub-queue. The first ones show the cause.
fn sub_queue_table(messages: &[DeadLetteredMessage]) -> Table {
    let mut table =
        Table::new(["IN THE SUB-QUEUE: SESSION", "MESSAGE", "SEQUENCE NUMBER", "DELIVERIES", "LAST REASON"]);
    for message in messages.iter().take(MAX_SHOWN_MESSAGES) {
        let DeadLetteredMessage { session_id, message_id, sequence_number, delivery_count, reason } = message;
        table.row([
            session_id.clone(),
            message_id.clone(),
            sequence_number.to_string(),
            delivery_count.to_string(),
            reason.clone(),
        ]);
    }
    if let Some(more) = messages.len().checked_sub(MAX_SHOWN_MESSAGES).filter(|more| *more > 0) {
        table.row([format!("and {more} more"), String::new(), String::new(), String::new(), String::new()]);
    }
    table
}

/// The result of the check.
pub(in crate::cli) struct CheckLines<'a>(pub(in crate::cli) &'a Check);

impl fmt::Display for CheckLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Check { documents, different_documents, differences, invalid_events, dead_letters_missing } = self.0;
        if *documents == 0 && *different_documents == 0 {
            writeln!(f, "CHECK: no document was compared, because no event belongs to one")?;
        } else if *different_documents == 0 {
            writeln!(f, "CHECK: every document equals the fold of its events ({documents} of {documents})")?;
        } else {
            let (verb, owner) = if *different_documents == 1 { ("differs", "its") } else { ("differ", "their") };
            let documents = count_of(*documents as u64, "document");
            writeln!(f, "CHECK FAILED: {different_documents} of {documents} {verb} from the fold of {owner} events")?;
            for difference in differences {
                writeln!(f, "  {}: {}", difference.document, difference.detail)?;
            }
        }
        if *invalid_events == 0 {
            writeln!(f, "CHECK: no event was invalid")
        } else if *dead_letters_missing == 0 {
            writeln!(f, "CHECK: every invalid event is a dead letter ({invalid_events} of {invalid_events})")
        } else {
            let invalid = count_of(*invalid_events as u64, "invalid event");
            writeln!(f, "CHECK FAILED: no dead letter for {dead_letters_missing} of {invalid}")
        }
    }
}
