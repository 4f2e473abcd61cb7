//! The result of `telemetry check` for a reader.

use std::fmt;

use devicestate_telemetry::inspect::{EventReport, Outcome, RecordReport, Summary};
use devicestate_terminal::{Table, clean};
use serde_json::Value;

use super::check::Check;
use crate::cli::devices::cell_text;

/// The longest cell, in characters, so that a row fits a terminal.
const MAX_CELL_CHARS: usize = 44;

pub(super) struct Tables<'a>(pub(super) &'a Check);

impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Check { telemetry, events, summary } = self.0;
        writeln!(f, "TELEMETRY: {telemetry}\n")?;
        for event in events {
            write_event(f, event)?;
        }
        write_summary(f, summary, events.len() as u64)
    }
}

fn write_event(f: &mut fmt::Formatter, EventReport { event, line, records, .. }: &EventReport) -> fmt::Result {
    for (index, record) in records.iter().enumerate() {
        write!(f, "EVENT {event}")?;
        if let Some(line) = line {
            write!(f, " (line {line})")?;
        }
        if records.len() > 1 {
            write!(f, ", record {index}")?;
        }
        write_record(f, record)?;
    }
    Ok(())
}

fn write_record(f: &mut fmt::Formatter, record: &RecordReport) -> fmt::Result {
    match record.outcome {
        Outcome::Decoded => {}
        Outcome::Ignored => return writeln!(f, ": ignored, because it is not telemetry\n"),
        Outcome::Unrecognized => {
            let skipped = record.skipped.join(", ");
            return writeln!(f, ": not stored, because it has no known field, but {}\n", clean(&skipped));
        }
        Outcome::DeadLettered => {
            let (stage, issue) = (record.stage.as_deref().unwrap_or_default(), record.issue.as_deref());
            return writeln!(f, ": dead letter ({stage}): {}\n", clean(issue.unwrap_or_default()));
        }
    }
    writeln!(f)?;
    let mut table = Table::new(["READING", "VALUE", "FROM"]);
    let device = record.device.clone().unwrap_or_default();
    table.row(["device id".to_owned(), short(&device), short(record.device_from.as_deref().unwrap_or_default())]);
    if let Some(time) = &record.time {
        let from = match time.from {
            "device" if time.enqueued_is_known => "the device's time",
            "device" => "the device's time, at most the enqueued time",
            "future" => "the enqueued time, because the time of the device is later",
            "enqueued" => "the enqueued time, because there is no time of the device",
            "unusable" => "the enqueued time, because that of the device is before `notBefore`: is its `format` right?",
            _ => "the service's order",
        };
        table.row(["time (UTC)".to_owned(), time.utc.clone().unwrap_or_else(|| "-".into()), from.to_owned()]);
    }
    for reading in &record.readings {
        let from = reading.from.as_deref().unwrap_or_default();
        table.row([short(&reading.name), short(&value_text(&reading.value)), short(from)]);
    }
    writeln!(f, "{table}")
}

fn write_summary(f: &mut fmt::Formatter, summary: &Summary, shown: u64) -> fmt::Result {
    let Summary { events, decoded, unrecognized, ignored, dead_lettered, records, unusable_times, devices, .. } =
        summary;
    let mut table = Table::new(["SUMMARY", ""]);
    let mut row = |name: &str, count: u64, is_shown: bool| {
        if is_shown {
            table.row([name.to_owned(), count.to_string()]);
        }
    };
    row("events", *events, true);
    row("  shown", shown, shown < *events);
    row("  decoded", *decoded, true);
    row("  unrecognized (not stored)", *unrecognized, *unrecognized > 0);
    row("  ignored", *ignored, *ignored > 0);
    row("  dead letters", *dead_lettered, true);
    row("records", *records, records != events);
    row("  whose device time is too early", *unusable_times, *unusable_times > 0);
    row("devices", *devices, true);
    write!(f, "{table}")?;
    if !summary.issues.is_empty() {
        let mut table = Table::new(["RECORDS", "FIRST EVENT", "ISSUE"]);
        for issue in &summary.issues {
            table.row([issue.records.to_string(), issue.first_event.to_string(), issue.issue.clone()]);
        }
        write!(f, "\n{table}")?;
    }
    if !summary.unused_fields.is_empty() {
        let mut table = Table::new(["FIELD THAT IS NEVER USED", "COUNT"]);
        for field in &summary.unused_fields {
            table.row([field.pointer.clone(), field.count.to_string()]);
        }
        write!(f, "\n{table}")?;
    }
    if !summary.unused_readings.is_empty() {
        let mut table = Table::new(["READING THAT NO RECORD HAS"]);
        for name in &summary.unused_readings {
            table.row([name.clone()]);
        }
        write!(f, "\n{table}")?;
    }
    Ok(())
}

/// Returns the text of a value. A text is in quotes, because it may look like a number.
fn value_text(value: &Value) -> String {
    if value.is_string() { value.to_string() } else { cell_text(value) }
}

/// Returns the start of a text that is too long for a cell.
fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_CELL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
