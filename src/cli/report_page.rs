//! What the HTML pages of `local`, `drill` and `telemetry check` share: the option `--html`, and the sections that several of them
//! have.

use std::path::{self, PathBuf};

use clap::Args;
use devicestate_engine::{
    clock::{Clock as _, System},
    text::iso8601,
};
use devicestate_local::report::{Check, Happening, HappeningKind, Sample, Timeline};
use devicestate_report_page::{Block, Cell, Chart, Outcome, Page, PageFile, Section, Series, Table, Tone, seconds};
use devicestate_terminal::{CommandError, count_of};

use super::local::CheckLines;

/// Limits the intervals of a chart of counts. More of them would be thinner than a line.
const MAX_INTERVALS: usize = 100;

/// The option `--html`.
#[derive(Debug, Args)]
pub(super) struct HtmlOption {
    /// Write the report as one HTML file, with charts (overwrites that of an earlier run)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,
}

impl HtmlOption {
    /// Opens the file before the command runs, because it may run for hours. It may not be one of the other files of the command.
    pub(super) fn open(&self, others: &[&Option<PathBuf>]) -> Result<Option<PageFile>, CommandError> {
        let Some(html) = &self.html else { return Ok(None) };
        let is_same = |other: &&PathBuf| path::absolute(html).ok() == path::absolute(other).ok();
        if others.iter().copied().flatten().any(|other| is_same(&other)) {
            let html = html.display();
            return Err(CommandError::not_started(format!("--html names a file of another option: {html}")));
        }
        PageFile::open(html).map(Some).map_err(CommandError::not_started)
    }
}

/// Writes the page, if one is wanted. The error of the command itself is returned first.
pub(super) fn write_page(
    file: Option<PageFile>,
    page: impl FnOnce(&Result<(), CommandError>) -> Page,
    result: Result<(), CommandError>,
) -> Result<(), CommandError> {
    let written = file.map_or(Ok(()), |file| file.write(&page(&result).into_html()));
    result.and(written.map_err(CommandError::failed))
}

/// Returns the outcome of a command, and why it did not pass.
pub(super) fn outcome(result: &Result<(), CommandError>, is_interrupted: bool) -> (Outcome, String) {
    match result {
        Ok(()) => (Outcome::Passed, String::new()),
        Err(error) if is_interrupted => (Outcome::Interrupted, error.message().to_owned()),
        Err(error) => (Outcome::Failed, error.message().to_owned()),
    }
}

/// Returns the last line of a page.
pub(super) fn made(command: &str) -> String {
    let (version, now) = (env!("CARGO_PKG_VERSION"), iso8601(System.now_ms()));
    format!("Made by devicestate {version}, {command}, at {now}. The file needs nothing else: no script, no network.")
}

/// Returns the section of the check.
pub(super) fn check_section(check: Result<&Check, &'static str>) -> Section {
    let blocks = match check {
        Err(reason) => vec![Block::Text(reason.into())],
        Ok(check) => {
            let mut table = Table::new("Documents that differ", ["Document", "Difference"]);
            for difference in &check.differences {
                table.row([Cell::code(&difference.document), Cell::text(&difference.detail)]);
            }
            let lines = CheckLines(check).to_string();
            let lines = lines.lines().filter(|line| !line.starts_with("  ")).map(|line| Block::Text(line.to_owned()));
            lines.chain((!table.is_empty()).then_some(Block::Table(table))).collect()
        }
    };
    let note = "The documents are compared with the fold of all events that were sent, and the invalid events with the dead letters.";
    Section { heading: "Check", note: note.into(), blocks }
}

/// Returns the commands with which the reader goes on.
pub(super) fn commands_section(commands: Vec<String>) -> Section {
    Section { heading: "Go on", note: String::new(), blocks: vec![Block::Commands(commands)] }
}

/// Returns what happened, in words, and its colour.
pub(super) fn described(Happening { kind, count, .. }: &Happening) -> (String, Tone) {
    let of = |one: &str, many: &str| if *count == 1 { one.to_owned() } else { format!("{count} {many}") };
    match kind {
        HappeningKind::InstancesStarted => (format!("{} started", count_of(*count, "instance")), Tone::Good),
        HappeningKind::LeaseLost => ("lease of a partition lost during a batch".into(), Tone::Warning),
        HappeningKind::HandlerKilled => ("handler killed, its reply lost".into(), Tone::Bad),
        HappeningKind::HandlerRestarted => (of("handler restarted", "handlers restarted"), Tone::Good),
        HappeningKind::HostRestarted => (of("host stopped, and restarted", "hosts stopped, and restarted"), Tone::Bad),
        HappeningKind::InstancesStopped => (format!("{} stopped", count_of(*count, "instance")), Tone::Warning),
        HappeningKind::CheckpointsRewound => ("checkpoints set back".into(), Tone::Warning),
        HappeningKind::AttemptFailed => (of("attempt of a batch failed", "attempts of batches failed"), Tone::Warning),
        HappeningKind::DeadLettered => (of("event became a dead letter", "events became dead letters"), Tone::Warning),
        HappeningKind::BatchLost => {
            (of("event lost after the last retry", "events lost after the last retry"), Tone::Bad)
        }
        HappeningKind::InputEnded => ("input ended".into(), Tone::Main),
    }
}

/// Adds up happenings of the same kind that are near to each other, compared with the time of the run.
pub(super) fn summarized(timeline: &Timeline) -> Vec<Happening> {
    let near = timeline.end / 20;
    let mut summarized: Vec<Happening> = Vec::new();
    for happening in &timeline.happenings {
        let is_same = |earlier: &&mut Happening| {
            earlier.kind == happening.kind
                && earlier.detail == happening.detail
                && happening.at.saturating_sub(earlier.at) < near
        };
        match summarized.iter_mut().rev().find(is_same) {
            Some(same) if happening.kind != HappeningKind::InstancesStarted => same.count += happening.count,
            _ => summarized.push(happening.clone()),
        }
    }
    summarized
}

/// Returns the charts of a region: events of each interval, waiting events, failed attempts and dead letters. `id` distinguishes
/// them from those of another region, `name` is put before their titles.
#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
pub(super) fn charts(timeline: &Timeline, end: f64, id: &str, name: &str) -> Vec<Block> {
    let samples = &timeline.samples;
    let is_fault = |happening: &&Happening| {
        use HappeningKind::{CheckpointsRewound, HandlerKilled, HostRestarted, InstancesStopped, LeaseLost};
        [CheckpointsRewound, HandlerKilled, HostRestarted, InstancesStopped, LeaseLost].contains(&happening.kind)
    };
    let marks: Vec<_> =
        timeline.happenings.iter().filter(is_fault).map(|happening| happening.at.as_secs_f64()).collect();
    let chart = |kind: &str, title: String, description: String, series| Chart {
        id: format!("{id}{kind}"),
        title: format!("{name}{title}"),
        description,
        end,
        series,
        marks: marks.clone(),
    };
    let level = |title: &str, tone, value: &dyn Fn(&Sample) -> u64| Series {
        name: title.to_owned(),
        tone,
        points: samples.iter().map(|sample| (sample.at.as_secs_f64(), value(sample) as f64)).collect(),
    };
    let intervals = intervals(samples);
    let rate = |title: &str, tone, count: &dyn Fn(&Sample) -> u64| {
        let point = |(from, to): &(Sample, Sample)| {
            let seconds = to.at.saturating_sub(from.at).as_secs_f64().max(0.001);
            (from.at.as_secs_f64(), (count(to) - count(from)) as f64 / seconds)
        };
        Series { name: title.to_owned(), tone, points: intervals.iter().map(point).collect() }
    };
    let last = samples.last().copied().unwrap_or_default();
    let highest = samples.iter().map(waiting).max().unwrap_or_default();
    let mut charts = vec![
        chart(
            "events",
            "Events per second".into(),
            format!("{} events were sent and {} processed for the first time.", last.received, last.processed),
            vec![
                rate("processed", Tone::Main, &|sample| sample.processed),
                rate("sent", Tone::Second, &|sample| sample.received),
            ],
        ),
        chart(
            "waiting",
            "Events waiting".into(),
            format!("At most {highest} sent events were not yet processed; at the end {}.", waiting(&last)),
            vec![level("waiting", Tone::Main, &waiting)],
        ),
    ];
    if last.failed_attempts > 0 {
        charts.push(chart(
            "attempts",
            "Failed attempts of batches, so far".into(),
            format!("{} attempts failed.", last.failed_attempts),
            vec![level("failed attempts", Tone::Warning, &|sample| sample.failed_attempts)],
        ));
    }
    if last.dead_lettered > 0 {
        charts.push(chart(
            "deadletters",
            "Dead letters, so far".into(),
            format!("{} dead letters were written.", last.dead_lettered),
            vec![level("dead letters", Tone::Bad, &|sample| sample.dead_lettered)],
        ));
    }
    charts.into_iter().map(Block::Chart).collect()
}

/// Returns the table of the numbers in the charts.
pub(super) fn samples_table(timeline: &Timeline, caption: &str) -> Table {
    let mut table =
        Table::new(caption, ["Time", "Sent", "Processed", "Waiting", "Failed attempts", "Dead letters"]).folded();
    for sample in &timeline.samples {
        table.row([
            Cell::Measure(seconds(sample.at.as_secs_f64())),
            Cell::count(sample.received),
            Cell::count(sample.processed),
            Cell::count(waiting(sample)),
            Cell::count(sample.failed_attempts),
            Cell::count(sample.dead_lettered),
        ]);
    }
    table
}

/// Returns how many events were sent and not yet processed.
fn waiting(sample: &Sample) -> u64 {
    sample.received.saturating_sub(sample.processed)
}

/// Divides the samples into intervals, at most [`MAX_INTERVALS`]. Returns the first and last sample of each.
fn intervals(samples: &[Sample]) -> Vec<(Sample, Sample)> {
    let end = samples.last().copied().unwrap_or_default();
    let min_length = end.at / u32::try_from(MAX_INTERVALS).unwrap_or(u32::MAX);
    let mut intervals: Vec<(Sample, Sample)> = Vec::new();
    let mut from = Sample::default();
    for sample in samples {
        if sample.at.saturating_sub(from.at) >= min_length {
            intervals.push((from, *sample));
            from = *sample;
        }
    }
    // What remains is in the last one, so that nothing is left out.
    match intervals.last_mut() {
        Some((_, to)) => *to = end,
        None => intervals.push((from, end)),
    }
    intervals
}
