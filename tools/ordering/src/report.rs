//! What has been measured, for people and for machines.

use std::fmt;

use devicestate_ordering::{
    plan::Plan,
    verdict::{Example, Verdict},
};
use devicestate_terminal::Table;
use serde::Serialize;

use crate::{
    failing::{self, Waited},
    fault::FAILURES,
    ways::{Outcome, Way},
};

/// All of it. Serialised, it is the JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) plan: Plan,
    /// Where the lists were.
    pub(crate) lists_in: &'static str,
    pub(crate) ways: Vec<Row>,
    pub(crate) one_failing_message: Option<Failing>,
    /// The key of the picture, and what its list had in each way.
    pub(crate) pictured: Pictured,
}

/// One way.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    way: char,
    name: String,
    invocations: u64,
    seconds: f64,
    /// Distinct events: what is repeated does not count again.
    events_per_second: f64,
    #[serde(flatten)]
    verdict: Verdict,
}

/// The part about one failing message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failing {
    pub(crate) plan: Plan,
    pub(crate) ways: Vec<Waited>,
}

/// One key's lists.
#[derive(Serialize)]
pub(crate) struct Pictured {
    pub(crate) key: String,
    pub(crate) lists: Vec<Vec<u32>>,
}

impl Pictured {
    /// The key with most repeats in all ways together, and of several the first: there is something to be seen.
    pub(crate) fn of(outcomes: &[Outcome], plan: &Plan) -> Self {
        let arrived = |key: &String| outcomes.iter().map(|outcome| outcome.arrived[key].len()).sum::<usize>();
        let key = plan.all_keys().rev().max_by_key(arrived).expect("at least one key");
        let lists = outcomes.iter().map(|outcome| outcome.arrived[&key].clone()).collect();
        Self { key, lists }
    }
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "nobody sends 2^52 events")]
    pub(crate) fn new(outcome: &Outcome, plan: &Plan) -> Self {
        let seconds = outcome.took.as_secs_f64();
        Self {
            way: outcome.way.letter(),
            name: outcome.way.name(plan),
            invocations: outcome.invocations,
            seconds,
            events_per_second: plan.all_events() as f64 / seconds,
            verdict: Verdict::of(&outcome.arrived, plan.events),
        }
    }

    /// What this way promises and did not keep.
    fn broken(&self) -> Option<String> {
        let Self { way, name, verdict, .. } = self;
        let repeats_only = Way::Crash.letter() == *way && verdict.lists_in_order < verdict.lists;
        let disorder = [Way::Ones, Way::Batches, Way::Sessions].map(Way::letter).contains(way) && !verdict.is_perfect();
        let broken = !verdict.nothing_is_missing() || repeats_only || disorder;
        broken.then(|| format!("({way}) {name} did not keep what it promises: {verdict:?}"))
    }
}

impl Report {
    /// What was promised and not kept.
    pub(crate) fn broken(&self) -> Vec<String> {
        let lists = self.plan.keys as usize;
        let failing = self.one_failing_message.iter().flat_map(|failing| &failing.ways);
        let stuck = failing.filter(|waited| waited.perfect_lists < lists || waited.attempts != FAILURES + 1);
        let stuck = stuck.map(|waited| format!("one failing message left more behind than what waited: {waited:?}"));
        self.ways.iter().filter_map(Row::broken).chain(stuck).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Plan { keys, events, partitions, batch, at_once, max_sessions: _, longest_delay_ms, seed } = &self.plan;
        writeln!(
            f,
            "{keys} keys x {events} ordered events, {partitions} partitions; the lists are in {}.",
            self.lists_in
        )?;
        writeln!(
            f,
            "Batches have up to {batch} events. In (a) up to {at_once} of each pulled batch are in flight at once."
        )?;
        match longest_delay_ms {
            0 => writeln!(f, "No invocation waits.")?,
            longest => writeln!(f, "Each invocation waits 0 to {longest} ms, drawn by seed {seed}.")?,
        }
        writeln!(f, "Of {keys} lists, perfect: 1 to {events}, each once. In order: perfect, but for repeats.\n")?;
        let head = ["WAY", "INVOCATIONS", "EVENTS/S", "PERFECT", "IN ORDER"];
        let mut table = Table::new(head.into_iter().chain(["INVERSIONS", "DUPLICATES", "GAPS", "FOR EXAMPLE"]));
        for Row { way, name, invocations, events_per_second, verdict, .. } in &self.ways {
            table.row([
                format!("({way}) {name}"),
                invocations.to_string(),
                format!("{events_per_second:.0}"),
                verdict.perfect_lists.to_string(),
                verdict.lists_in_order.to_string(),
                verdict.inversions.to_string(),
                verdict.duplicates.to_string(),
                verdict.gaps.to_string(),
                verdict.example.as_ref().map(Example::to_string).unwrap_or_default(),
            ]);
        }
        write!(f, "{table}")?;
        if let Some(failing) = &self.one_failing_message {
            write!(f, "\n{failing}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let event = failing::failing_event(&self.plan);
        writeln!(
            f,
            "One failing message: {} keys x {} events; number {} of {} fails until nothing else can move.\n",
            self.plan.keys, self.plan.events, event.number, event.key
        )?;
        let mut table = Table::new([
            "WAY",
            "KEYS THAT WAITED",
            "EVENTS THAT WAITED",
            "OF OTHER KEYS",
            "ATTEMPTS",
            "PERFECT IN THE END",
        ]);
        for waited in &self.ways {
            table.row([
                waited.way.clone(),
                waited.keys.to_string(),
                waited.events.to_string(),
                waited.events_of_other_keys.to_string(),
                waited.attempts.to_string(),
                waited.perfect_lists.to_string(),
            ]);
        }
        write!(f, "{table}")
    }
}
