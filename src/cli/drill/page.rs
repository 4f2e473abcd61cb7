//! The report of `devicestate drill` as an HTML page.

use devicestate_local::drill::{DrillReport, Step, StepName};
use devicestate_report_page::{
    Block, Cell, Figures, Lane, Lanes, Mark, Page, Section, Span, Table, Tone, number, seconds,
};
use devicestate_terminal::{CommandError, count_of};

use super::{list_dead_letters, name};
use crate::cli::report_page::{charts, check_section, commands_section, made, outcome, samples_table};

/// Returns the page of a drill that ended with this result.
#[expect(clippy::cast_precision_loss, reason = "no drill has 2^52 events")]
pub(super) fn page(report: &DrillReport, result: &Result<(), CommandError>) -> Page {
    let (outcome, reason) = outcome(result, false);
    let mut figures = Figures::default();
    figures.add("events in the first hub", number(report.first_region_events as f64), Tone::Main);
    figures.add("events in the standby hub", number(report.standby_region_events as f64), Tone::Main);
    figures.add("readings lost by the store's failover", number(report.readings_lost as f64), Tone::Warning);
    figures.add("events read again", number(report.events_read_again as f64), Tone::Warning);
    let different = report.check.different_documents;
    let tone = if different == 0 { Tone::Good } else { Tone::Bad };
    figures.add("documents that differ at the end", number(different as f64), tone);
    Page {
        title: "Failover drill".into(),
        outcome,
        summary: format!(
            "Two hubs, two function apps and one store on this machine: the first region is lost, and comes back. Decoded as {}.",
            report.telemetry
        ),
        reason,
        figures,
        sections: vec![
            steps(report),
            over_time(report),
            check_section(Ok(&report.check)),
            commands_section(list_dead_letters(report)),
        ],
        made: made("drill"),
    }
}

fn steps(report: &DrillReport) -> Section {
    let end = end(report);
    let at = |name| report.steps.iter().find(|step| step.step == name).map_or(end, |step| step.at.as_secs_f64());
    let spans = |spans: &[(f64, f64, &str, Tone)]| {
        let span = |(from, to, label, tone): &(f64, f64, &str, Tone)| Span {
            from: *from,
            to: *to,
            label: (*label).to_owned(),
            tone: *tone,
        };
        spans.iter().map(span).collect::<Vec<_>>()
    };
    let lane = |name: &str, spans| Lane { name: name.to_owned(), spans, marks: Vec::new() };
    let (replicated, lost) = (at(StepName::Replication), at(StepName::RegionLost));
    let (failover, recovered) = (at(StepName::StoreFailover), at(StepName::RegionRecovered));
    let active = at(StepName::BothRegionsActive);
    let mut table = Table::new("", ["No.", "Time", "Step", "Result"]);
    let mut marks = Vec::new();
    for (index, Step { step, detail, at }) in report.steps.iter().enumerate() {
        let (number, at) = (index + 1, at.as_secs_f64());
        table.row([
            Cell::count(number as u64),
            Cell::Measure(format!("{at:.3} s")),
            Cell::text(name(*step)),
            Cell::text(detail),
        ]);
        let tone = match step {
            StepName::RegionLost | StepName::StoreFailover => Tone::Bad,
            StepName::ReplicationLag | StepName::RegionRecovered => Tone::Warning,
            _ => Tone::Good,
        };
        marks.push(Mark { at, number, label: format!("{}: {detail}", name(*step)), tone });
    }
    let lanes = Lanes {
        id: "timeline".into(),
        title: "The regions over the time of the drill".into(),
        description: format!(
            "The first region is lost after {}, and available again after {}. The table below lists the steps.",
            seconds(lost),
            seconds(recovered)
        ),
        end,
        lanes: vec![
            lane(
                "Producers send to",
                spans(&[
                    (0.0, failover, "the first region", Tone::Main),
                    (failover, active, "the standby region", Tone::Second),
                    (active, end, "the first region", Tone::Main),
                ]),
            ),
            lane(
                "First region",
                spans(&[
                    (0.0, lost, "running", Tone::Good),
                    (lost, recovered, "lost", Tone::Bad),
                    (recovered, active, "catches up", Tone::Warning),
                    (active, end, "running", Tone::Good),
                ]),
            ),
            lane(
                "Standby region",
                spans(&[(0.0, failover, "waits", Tone::Quiet), (failover, end, "running", Tone::Good)]),
            ),
            lane(
                "Store",
                spans(&[
                    (0.0, replicated, "replicated", Tone::Good),
                    (replicated, failover, "writes that are not replicated", Tone::Warning),
                    (failover, end, "its other region, without these writes until they are read again", Tone::Second),
                ]),
            ),
            Lane { name: "Steps completed".into(), spans: Vec::new(), marks },
        ],
    };
    Section { heading: "What happened", note: String::new(), blocks: vec![Block::Lanes(lanes), Block::Table(table)] }
}

fn over_time(report: &DrillReport) -> Section {
    let DrillReport { first_region, standby_region, .. } = report;
    let end = end(report);
    let mut all = charts(first_region, end, "first-", "First region: ");
    all.extend(charts(standby_region, end, "standby-", "Standby region: "));
    let note = format!(
        "{} in the first region's hub, {} in the standby region's. An event that is read again counts as processed once.",
        count_of(report.first_region_events, "event"),
        count_of(report.standby_region_events, "event")
    );
    let first = samples_table(first_region, "The numbers of the first region, from the start to each time");
    let standby = samples_table(standby_region, "The numbers of the standby region, from the start to each time");
    let blocks = vec![Block::Columns(all), Block::Table(first), Block::Table(standby)];
    Section { heading: "Events of each region", note, blocks }
}

/// The end of the drill in seconds.
fn end(report: &DrillReport) -> f64 {
    report.first_region.end.max(report.standby_region.end).as_secs_f64()
}
