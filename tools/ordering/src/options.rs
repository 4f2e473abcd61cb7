//! The command line options.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, error::ErrorKind};
use devicestate_ordering::plan::Plan;
use devicestate_terminal::OutputOption;

use crate::strategy::Strategy;

/// Deliver ordered events with several strategies, and check the order in which they arrive.
///
/// A handler, invoked over HTTP as the Functions host does, appends every event to the list of its key. A list is perfect
/// if it has all numbers from 1 to the last, each once and in order.
#[derive(Debug, Parser)]
#[command(
    name = "ordering",
    max_term_width = 100,
    after_help = "Strategies:\n  a  one invocation per event, those of a batch in parallel\n  b  batches of 1\n  \
                  c  ordered batches\n  d  ordered batches, with a crash\n  e  sessions of a Service Bus queue\n\n\
                  Examples:\n  ordering --svg ordering.svg\n  ordering --strategy a --seed 7 --output json\n\n\
                  Exit codes: 0 if each strategy kept its guarantee (a: no event is missing; d: every list is in order \
                  except for repeats; b, c, e: every list is perfect), 1 if one did not, 2 if the run could not start."
)]
pub(crate) struct Options {
    /// Number of keys
    #[arg(long, help_heading = "Events", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    keys: u32,
    /// Number of events per key
    #[arg(
        long,
        help_heading = "Events",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    events: u32,
    /// Number of partitions of the hub
    #[arg(long, help_heading = "Events", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    partitions: u16,
    /// Strategies to run, without the failing message; default: all, then the failing message
    #[arg(long = "strategy", help_heading = "Delivery", value_enum)]
    pub(crate) strategies: Vec<Strategy>,
    /// Maximum number of events per batch. The Event Hubs extension's default is 100; this product's host.json has 1000
    #[arg(
        long,
        help_heading = "Delivery",
        default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(2..=10_000)
    )]
    batch: u16,
    /// Maximum number of parallel invocations per partition in strategy a; each takes two sockets
    #[arg(long, help_heading = "Delivery", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    at_once: u16,
    /// Maximum number of concurrent sessions, like maxConcurrentSessions in host.json
    #[arg(long, help_heading = "Delivery", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    max_sessions: u16,
    /// Maximum delay of an invocation before it appends, in whole milliseconds; uniformly random, 0 for no delay
    #[arg(
        long,
        help_heading = "Delivery",
        value_name = "MS",
        default_value_t = 2,
        value_parser = clap::value_parser!(u64).range(..=1_000)
    )]
    delay: u64,
    /// Seed of the delays: the same seed gives the same delay to the same invocation
    #[arg(long, help_heading = "Delivery", default_value_t = 1)]
    seed: u64,
    /// Keep the lists in this Redis server as events:key-000 and so on, instead of in memory. They are deleted before each
    /// strategy and at the end
    #[arg(long, help_heading = "Lists", value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// Keep the last strategy's lists in Redis
    #[arg(long, help_heading = "Lists", requires = "redis")]
    pub(crate) keep: bool,
    /// Draw the order in which one key's events arrived into this file
    #[arg(long, help_heading = "Output", value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: OutputOption,
}

/// The maximum number of events: the capacity of the queue with sessions.
const MAX_EVENTS: u64 = 500_000;

impl Options {
    /// Parses the command line; ends the process with exit code 2 if it is invalid.
    pub(crate) fn parse_arguments() -> Self {
        let options = Self::parse();
        let events = options.plan().all_events();
        if events > MAX_EVENTS {
            let message = format!("{events} events are more than the limit of {MAX_EVENTS}; reduce --keys or --events");
            Self::command().error(ErrorKind::ValueValidation, message).exit();
        }
        options
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            keys: self.keys,
            events: self.events,
            partitions: self.partitions.into(),
            batch: self.batch.into(),
            at_once: self.at_once.into(),
            max_sessions: self.max_sessions.into(),
            max_delay_ms: self.delay,
            seed: self.seed,
        }
    }

    /// Returns the selected strategies in their fixed order, each once.
    pub(crate) fn selected_strategies(&self) -> Vec<Strategy> {
        Strategy::ALL
            .into_iter()
            .filter(|strategy| self.strategies.is_empty() || self.strategies.contains(strategy))
            .collect()
    }
}
