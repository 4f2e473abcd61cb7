//! The report of `devicestate local` as an HTML page.

use devicestate_engine::{device_state::device_id, text::iso8601};
use devicestate_local::report::{Events, Happening, HappeningKind, Report, Timeline};
use devicestate_report_page::{
    Bar, Bars, Block, Cell, Figures, Lane, Lanes, Mark, Page, Section, Span, Table, Tone, number, seconds,
};
use devicestate_terminal::{CommandError, count_of};

use super::report::{InputLine, MAX_SHOWN_MESSAGES, list_dead_letters, list_devices, run_rows};
use crate::cli::report_page::{
    charts, check_section, commands_section, described, made, outcome, samples_table, summarized,
};

/// Returns the page of a run that ended with this result.
#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
pub(super) fn page(report: &Report, result: &Result<(), CommandError>) -> Page {
    let Report { events, timeline, .. } = report;
    let (outcome, reason) = outcome(result, report.interrupted);
    let mut figures = Figures::default();
    let trouble = |count: u64, tone| if count > 0 { tone } else { Tone::Quiet };
    figures.add("events sent", number(events.received as f64), Tone::Main);
    figures.add("devices", report.devices.to_string(), Tone::Main);
    figures.add("dead letters", number(events.dead_lettered as f64), trouble(events.dead_lettered, Tone::Warning));
    figures.add(
        "failed attempts",
        number(report.failed_attempts as f64),
        trouble(report.failed_attempts, Tone::Warning),
    );
    figures.add("lost", number(events.lost as f64), trouble(events.lost, Tone::Bad));
    figures.add("duration", seconds(report.seconds), Tone::Quiet);
    figures.add("events per second", number(report.events_per_second.round()), Tone::Quiet);
    let commands: Vec<_> = list_devices(report).into_iter().chain(list_dead_letters(report)).collect();
    let mut sections = vec![happenings(timeline), over_time(timeline), results(report), latencies(report)];
    sections.extend(dead_letters(timeline));
    sections.extend(sub_queue(report));
    sections.push(check_section(match &report.check {
        Some(check) => Ok(check),
        None if report.session_queue.is_some() => Err("not run: it is not available with --sessions"),
        None if report.failures.error.is_some() => Err("not run: the run stopped early"),
        None => Err("not run: use --check"),
    }));
    sections.extend(documents(report));
    sections.push(commands_section(commands));
    let broker = match report.partitions {
        Some(partitions) => count_of(partitions as u64, "partition"),
        None => "a queue with sessions".into(),
    };
    Page {
        title: "Run on this machine".into(),
        outcome,
        summary: format!(
            "Input: {}. Decoded as {}, through {broker}, by {}.",
            InputLine(&report.input),
            report.telemetry,
            count_of(report.instances as u64, "instance"),
        ),
        reason,
        figures,
        sections,
        made: made("local"),
    }
}

/// The lanes, and the table of what is in them.
fn happenings(timeline: &Timeline) -> Section {
    let end = timeline.end.as_secs_f64();
    let mut table = Table::new("", ["No.", "Time", "What happened", "Details"]);
    let lane = |name: &str| Lane { name: name.into(), ..Lane::default() };
    let mut lanes = [lane("Input"), lane("Hosts and handlers"), lane("Failed attempts"), lane("Dead letters")];
    for (index, happening) in summarized(timeline).iter().enumerate() {
        let (label, tone) = described(happening);
        let at = happening.at.as_secs_f64();
        let lane = match happening.kind {
            HappeningKind::InputEnded => 0,
            HappeningKind::AttemptFailed | HappeningKind::BatchLost => 2,
            HappeningKind::DeadLettered => 3,
            _ => 1,
        };
        table.row([
            Cell::count(index as u64 + 1),
            Cell::Measure(format!("{at:.3} s")),
            Cell::text(&label),
            Cell::text(&happening.detail),
        ]);
        lanes[lane].marks.push(Mark { at, number: index + 1, label, tone });
    }
    let input_end = timeline.happenings.iter().find(|happening| happening.kind == HappeningKind::InputEnded);
    let to = input_end.map_or(end, |happening| happening.at.as_secs_f64());
    lanes[0].spans.push(Span { from: 0.0, to, label: "events are sent".into(), tone: Tone::Quiet });
    lanes[1].spans = running(&timeline.happenings, end);
    let omitted = timeline.omitted.iter().map(|(kind, count)| {
        let happening = Happening { at: timeline.end, kind: *kind, detail: String::new(), count: *count };
        described(&happening).0
    });
    let omitted: Vec<_> = omitted.collect();
    let lanes = Lanes {
        id: "timeline".into(),
        title: "What happened in this run".into(),
        description: format!(
            "{} in {}. The table below lists them.",
            count_of(timeline.happenings.len() as u64, "happening"),
            seconds(end)
        ),
        end,
        lanes: lanes.into_iter().filter(|lane| !lane.marks.is_empty() || !lane.spans.is_empty()).collect(),
    };
    let mut blocks = vec![Block::Lanes(lanes), Block::Table(table)];
    if !omitted.is_empty() {
        blocks.push(Block::Text(format!("Later, and not in the list: {}.", omitted.join(", "))));
    }
    Section { heading: "What happened", note: String::new(), blocks }
}

/// When the instances ran.
fn running(happenings: &[Happening], end: f64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for happening in happenings {
        let at = happening.at.as_secs_f64();
        match happening.kind {
            HappeningKind::InstancesStarted => {
                let label = format!("{} running", count_of(happening.count, "instance"));
                spans.push(Span { from: at, to: end, label, tone: Tone::Quiet });
            }
            HappeningKind::InstancesStopped => {
                if let Some(span) = spans.last_mut() {
                    span.to = at;
                }
            }
            _ => {}
        }
    }
    spans
}

fn over_time(timeline: &Timeline) -> Section {
    let charts = charts(timeline, timeline.end.as_secs_f64(), "", "");
    let table = samples_table(timeline, "The numbers of these charts, from the start to each time");
    let note = "Broken vertical lines, if there are any, are faults of hosts and handlers in the timeline above.";
    Section {
        heading: "Over the run's time",
        note: note.into(),
        blocks: vec![Block::Columns(charts), Block::Table(table)],
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
fn results(report: &Report) -> Section {
    let Events { received, applied, superseded, dead_lettered, .. } = report.events;
    let Events { unrecognized, ignored, lost, in_sub_queue, repeated, unfinished, .. } = report.events;
    let all = [
        ("applied: a reading was newer", applied, Tone::Good),
        ("superseded: no reading was newer", superseded, Tone::Main),
        ("dead-lettered: could not be applied", dead_lettered, Tone::Warning),
        ("unrecognized: no known reading", unrecognized, Tone::Warning),
        ("ignored: not telemetry", ignored, Tone::Quiet),
        ("lost after the last retry", lost, Tone::Bad),
        ("in the dead-letter sub-queue", in_sub_queue, Tone::Bad),
        ("unfinished at the end", unfinished, Tone::Warning),
    ];
    let always = 3;
    let shown = all.into_iter().enumerate().filter(|(index, (_, count, _))| *index < always || *count > 0);
    let bars = Bars {
        title: "Results of the deliveries".into(),
        unit: "Events".into(),
        whole: Some((received + repeated) as f64),
        bars: shown.map(|(_, (name, count, tone))| Bar { name: name.into(), value: count as f64, tone }).collect(),
    };
    let mut run = Table::new("The run", ["", ""]);
    for [name, value] in run_rows(report) {
        run.row([Cell::text(name), Cell::Measure(value)]);
    }
    let again = if repeated > 0 { format!(" and {} again", count_of(repeated, "event")) } else { String::new() };
    Section {
        heading: "Results",
        note: format!("{} delivered{again}: each delivery has one result.", count_of(received, "event")),
        blocks: vec![Block::Columns(vec![Block::Bars(bars), Block::Table(run)])],
    }
}

fn latencies(report: &Report) -> Section {
    let latency = &report.latency_ms;
    let bars = |title: &str, unit: &str, quantiles: &devicestate_local::report::Quantiles, ranges: &[(f64, u64)]| {
        let end = |ms: f64| seconds(ms / 1e3);
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
        let bar = |(to, count): &(f64, u64)| {
            let name = if *to < 1.0 { format!("up to {} ms", number(*to)) } else { format!("up to {}", end(*to)) };
            Bar { name, value: *count as f64, tone: Tone::Main }
        };
        Block::Bars(Bars {
            title: format!("{title}: median {:.2} ms, 99th percentile {:.2} ms", quantiles.p50, quantiles.p99),
            unit: unit.into(),
            whole: None,
            bars: ranges.iter().map(bar).collect(),
        })
    };
    let columns = vec![
        bars("Invocation, from request to reply", "Invocations", &latency.invocation, &latency.invocations),
        bars("Event, from its enqueued time to the reply", "Events", &latency.event, &latency.events),
    ];
    let note = "An event mostly waits in the hub if events are sent faster than they are read.";
    Section { heading: "Latencies", note: note.into(), blocks: vec![Block::Columns(columns)] }
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
fn dead_letters(timeline: &Timeline) -> Option<Section> {
    let bar = |(issue, count): &(String, u64)| Bar { name: issue.clone(), value: *count as f64, tone: Tone::Warning };
    let bars = Bars {
        title: "Dead letters by issue".into(),
        unit: "Dead letters".into(),
        whole: None,
        bars: timeline.issues.iter().map(bar).collect(),
    };
    let note =
        "An event that was delivered again is in the queue again. Values that differ from event to event are left out.";
    let is_shown = !timeline.issues.is_empty();
    is_shown.then(|| Section { heading: "Dead letters", note: note.into(), blocks: vec![Block::Bars(bars)] })
}

/// The first messages in the dead-letter sub-queue of a queue with sessions.
fn sub_queue(report: &Report) -> Option<Section> {
    let messages = report.session_queue.iter().flat_map(|queue| &queue.dead_letter_sub_queue);
    let mut table = Table::new("", ["Session", "Message", "Sequence number", "Deliveries", "Last reason"]);
    for message in messages.take(MAX_SHOWN_MESSAGES) {
        table.row([
            Cell::code(&message.session_id),
            Cell::code(&message.message_id),
            Cell::Measure(message.sequence_number.to_string()),
            Cell::count(message.delivery_count.into()),
            Cell::text(&message.reason),
        ]);
    }
    let is_shown = !table.is_empty();
    let note = format!("{} in it, of which the first are listed.", count_of(report.events.in_sub_queue, "message"));
    is_shown.then(|| Section { heading: "Dead-letter sub-queue", note, blocks: vec![Block::Table(table)] })
}

/// The documents, if they are few.
fn documents(report: &Report) -> Option<Section> {
    let mut table = Table::new("", ["Device", "Newest event (UTC)", "Readings"]);
    for document in &report.shown_documents {
        let readings: serde_json::Map<_, _> =
            document.readings().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        table.row([
            Cell::code(device_id(&document.id)),
            Cell::text(document.last_heard_ms().map(iso8601).unwrap_or_default()),
            Cell::code(serde_json::Value::from(readings).to_string()),
        ]);
    }
    let is_shown = !table.is_empty();
    is_shown.then(|| Section { heading: "Documents", note: String::new(), blocks: vec![Block::Table(table)] })
}
