//! The report of the experiment.

use std::fmt;

use devicestate_ordering::{
    order_check::{Example, OrderCheck},
    plan::Plan,
};
use devicestate_terminal::Table;
use serde::Serialize;

use crate::{
    failing_message::{self, BlockedEvents},
    fault::FAILURES,
    strategy::{Outcome, Strategy},
};

/// The result of the experiment. It serializes to the JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) plan: Plan,
    /// The storage of the lists: `memory` or `redis`.
    pub(crate) lists_in: &'static str,
    pub(crate) strategies: Vec<StrategyReport>,
    pub(crate) one_failing_message: Option<FailingMessageReport>,
    /// The key of the picture, and its list for each strategy.
    pub(crate) pictured: Pictured,
}

/// The result of one strategy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StrategyReport {
    strategy: char,
    description: String,
    invocations: u64,
    seconds: f64,
    /// Distinct events per second; repeats do not count.
    events_per_second: f64,
    #[serde(flatten)]
    order_check: OrderCheck,
}

/// The result for one failing message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailingMessageReport {
    pub(crate) plan: Plan,
    pub(crate) strategies: Vec<BlockedEvents>,
}

/// One key's list for each strategy.
#[derive(Serialize)]
pub(crate) struct Pictured {
    pub(crate) key: String,
    pub(crate) lists: Vec<Vec<u32>>,
}

impl Pictured {
    /// Selects the key with the most repeats in all strategies; if several have as many, the first one.
    pub(crate) fn select(outcomes: &[Outcome], plan: &Plan) -> Self {
        let arrived = |key: &String| outcomes.iter().map(|outcome| outcome.arrived[key].len()).sum::<usize>();
        let key = plan.all_keys().rev().max_by_key(arrived).expect("at least one key");
        let lists = outcomes.iter().map(|outcome| outcome.arrived[&key].clone()).collect();
        Self { key, lists }
    }
}

impl StrategyReport {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 events are sent")]
    pub(crate) fn new(outcome: &Outcome, plan: &Plan) -> Self {
        let seconds = outcome.took.as_secs_f64();
        Self {
            strategy: outcome.strategy.letter(),
            description: outcome.strategy.description(plan),
            invocations: outcome.invocations,
            seconds,
            events_per_second: plan.all_events() as f64 / seconds,
            order_check: OrderCheck::new(&outcome.arrived, plan.events),
        }
    }

    /// Describes how the strategy broke its guarantee; `None` if it kept it.
    fn violation(&self) -> Option<String> {
        let Self { strategy, description, order_check, .. } = self;
        let crash_disorder = Strategy::Crash.letter() == *strategy && order_check.lists_in_order < order_check.lists;
        let disorder = [Strategy::Ones, Strategy::Batches, Strategy::Sessions].map(Strategy::letter).contains(strategy)
            && !order_check.is_perfect();
        let violations = !order_check.is_complete() || crash_disorder || disorder;
        violations.then(|| format!("strategy ({strategy}), {description}, broke its guarantee: {order_check:?}"))
    }
}

impl Report {
    /// Describes each broken guarantee.
    pub(crate) fn violations(&self) -> Vec<String> {
        let lists = self.plan.keys as usize;
        let failing_message = self.one_failing_message.iter().flat_map(|failing_message| &failing_message.strategies);
        let unrecovered =
            failing_message.filter(|blocked| blocked.perfect_lists < lists || blocked.attempts != FAILURES + 1);
        let unrecovered =
            unrecovered.map(|blocked| format!("one failing message blocked events permanently: {blocked:?}"));
        self.strategies.iter().filter_map(StrategyReport::violation).chain(unrecovered).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Plan { keys, events, partitions, batch, at_once, max_sessions: _, max_delay_ms, seed } = &self.plan;
        writeln!(
            f,
            "{keys} keys x {events} ordered events, {partitions} partitions; the lists are in {}.",
            self.lists_in
        )?;
        writeln!(
            f,
            "Batches have up to {batch} events. Strategy (a) has up to {at_once} invocations per partition in flight."
        )?;
        match max_delay_ms {
            0 => writeln!(f, "Invocations have no delay.")?,
            max => writeln!(f, "Each invocation has a random delay of 0 to {max} ms (seed {seed}).")?,
        }
        writeln!(
            f,
            "Perfect: all numbers from 1 to {events}, each once and in order. In order: perfect except for repeats.\n"
        )?;
        let head = ["STRATEGY", "INVOCATIONS", "EVENTS/S", "PERFECT", "IN ORDER"];
        let mut table = Table::new(head.into_iter().chain(["INVERSIONS", "DUPLICATES", "GAPS", "EXAMPLE"]));
        for StrategyReport { strategy, description, invocations, events_per_second, order_check, .. } in
            &self.strategies
        {
            table.row([
                format!("({strategy}) {description}"),
                invocations.to_string(),
                format!("{events_per_second:.0}"),
                order_check.perfect_lists.to_string(),
                order_check.lists_in_order.to_string(),
                order_check.inversions.to_string(),
                order_check.duplicates.to_string(),
                order_check.gaps.to_string(),
                order_check.example.as_ref().map(Example::to_string).unwrap_or_default(),
            ]);
        }
        write!(f, "{table}")?;
        if let Some(failing_message) = &self.one_failing_message {
            write!(f, "\n{failing_message}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FailingMessageReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let event = failing_message::failing_event(&self.plan);
        writeln!(
            f,
            "One failing message: {} keys x {} events; number {} of {} fails until no other event can be processed.\n",
            self.plan.keys, self.plan.events, event.number, event.key
        )?;
        let mut table = Table::new([
            "STRATEGY",
            "BLOCKED KEYS",
            "BLOCKED EVENTS",
            "OF OTHER KEYS",
            "ATTEMPTS",
            "PERFECT AT THE END",
        ]);
        for blocked in &self.strategies {
            table.row([
                blocked.description.clone(),
                blocked.keys.to_string(),
                blocked.events.to_string(),
                blocked.events_of_other_keys.to_string(),
                blocked.attempts.to_string(),
                blocked.perfect_lists.to_string(),
            ]);
        }
        write!(f, "{table}")
    }
}
