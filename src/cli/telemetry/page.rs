//! The result of `telemetry check` as an HTML page.

use devicestate_report_page::{Bar, Bars, Block, Cell, Figures, Page, Section, Table, Tone, number};
use devicestate_telemetry::inspect::{ReadingSummary, Summary};
use devicestate_terminal::{CommandError, count_of};

use super::check::Check;
use crate::cli::report_page::{made, outcome};

/// Returns the page of a check with this result. `events` names the file of events.
#[expect(clippy::cast_precision_loss, reason = "no file has 2^52 events")]
pub(super) fn page(events: &str, check: &Check, result: &Result<(), CommandError>) -> Page {
    let summary = &check.summary;
    let (outcome, reason) = outcome(result, false);
    let trouble = |count: u64, tone| if count > 0 { tone } else { Tone::Quiet };
    let mut figures = Figures::default();
    figures.add("events", number(summary.events as f64), Tone::Main);
    figures.add("records", number(summary.records as f64), Tone::Main);
    figures.add("devices", number(summary.devices as f64), Tone::Main);
    figures.add("readings", number(summary.readings.len() as f64), Tone::Main);
    figures.add("dead letters", number(summary.dead_lettered as f64), trouble(summary.dead_lettered, Tone::Bad));
    figures.add("unrecognized", number(summary.unrecognized as f64), trouble(summary.unrecognized, Tone::Warning));
    let sections = [Some(outcomes(summary)), issues(summary), Some(readings(summary)), unused(summary)];
    Page {
        title: "Check of telemetry".into(),
        outcome,
        summary: format!("Events of {events}, decoded as {}. Nothing was stored.", check.telemetry),
        reason,
        figures,
        sections: sections.into_iter().flatten().collect(),
        made: made("telemetry check"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "no file has 2^52 events")]
fn outcomes(summary: &Summary) -> Section {
    let all = [
        ("decoded", summary.decoded, Tone::Good),
        ("dead letters", summary.dead_lettered, Tone::Bad),
        ("unrecognized: no known field", summary.unrecognized, Tone::Warning),
        ("ignored: not telemetry", summary.ignored, Tone::Quiet),
    ];
    let bars = Bars {
        title: "What the events become".into(),
        unit: "Events".into(),
        whole: Some(summary.events as f64),
        bars: all.map(|(name, count, tone)| Bar { name: name.into(), value: count as f64, tone }).into(),
    };
    let mut blocks = vec![Block::Bars(bars)];
    if summary.unusable_times > 0 {
        let records = count_of(summary.unusable_times, "record");
        blocks.push(Block::Text(format!("The device's time of {records} is too early to be right.")));
    }
    Section { heading: "Events", note: String::new(), blocks }
}

fn issues(summary: &Summary) -> Option<Section> {
    let mut table = Table::new("", ["Records", "Issue", "First event", "Its body"]);
    for issue in &summary.issues {
        table.row([
            Cell::count(issue.records),
            Cell::text(&issue.issue),
            Cell::count(issue.first_event),
            Cell::code(&issue.example),
        ]);
    }
    let note = "Issues that differ only by values are one row, with the values of the first event.";
    let is_shown = !table.is_empty();
    is_shown.then(|| Section {
        heading: "Why events become dead letters",
        note: note.into(),
        blocks: vec![Block::Table(table)],
    })
}

#[expect(clippy::cast_precision_loss, reason = "no file has 2^52 events")]
fn readings(summary: &Summary) -> Section {
    let records: u64 = summary.records;
    let bar =
        |reading: &ReadingSummary| Bar { name: reading.name.clone(), value: reading.records as f64, tone: Tone::Main };
    let bars = Bars {
        title: format!("Records with each reading, of {}", count_of(records, "record")),
        unit: "Records".into(),
        whole: Some(records as f64),
        bars: summary.readings.iter().map(bar).collect(),
    };
    let mut table =
        Table::new("Types and ranges", ["Reading", "Types", "Least", "Most", "Records", "Share", "Example"]);
    for ReadingSummary { name, records: count, types, range, example } in &summary.readings {
        let bound = |bound: fn(&(f64, f64)) -> f64| {
            Cell::Measure(range.as_ref().map(|range| bound(range).to_string()).unwrap_or_default())
        };
        table.row([
            Cell::code(name),
            Cell::text(types.join(", ")),
            bound(|range| range.0),
            bound(|range| range.1),
            Cell::count(*count),
            Cell::Measure(format!("{:.1} %", *count as f64 / records.max(1) as f64 * 100.0)),
            Cell::code(example),
        ]);
    }
    let mut blocks = vec![Block::Table(table), Block::Bars(bars)];
    if summary.other_readings > 0 {
        let others = count_of(summary.other_readings, "reading");
        blocks.push(Block::Text(format!("{others} with other names, of which there are too many to list.")));
    }
    if summary.readings.is_empty() {
        blocks = vec![Block::Text("No record has a reading.".into())];
    }
    Section { heading: "Readings", note: "A reading with several types is often a mistake.".into(), blocks }
}

fn unused(summary: &Summary) -> Option<Section> {
    let mut fields = Table::new("Fields of the events that have no effect", ["Field", "Count"]);
    for field in &summary.unused_fields {
        fields.row([Cell::code(&field.pointer), Cell::count(field.count)]);
    }
    let mut readings = Table::new("Readings of the telemetry file that no record has", ["Reading"]);
    for name in &summary.unused_readings {
        readings.row([Cell::code(name)]);
    }
    let tables: Vec<_> = [fields, readings].into_iter().filter(|table| !table.is_empty()).map(Block::Table).collect();
    let is_shown = !tables.is_empty();
    is_shown.then(|| Section { heading: "Never used", note: String::new(), blocks: vec![Block::Columns(tables)] })
}
