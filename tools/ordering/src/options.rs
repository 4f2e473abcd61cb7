//! What to measure, from the command line.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, ValueEnum, error::ErrorKind};
use devicestate_ordering::plan::Plan;

use crate::ways::Way;

/// Deliver ordered events in several ways, and look at the order in which they arrive.
///
/// Every event is appended to the list of its key by a handler that is called over HTTP as the Functions host calls it. A
/// list in perfect order has the numbers from 1 to the last, each once, one after the other.
#[derive(Debug, Parser)]
#[command(
    name = "ordering",
    max_term_width = 100,
    after_help = "Examples:\n  ordering --svg ordering.svg\n  ordering --delay 0\n  ordering --way a --seed 7 --format \
                  json\n  ordering --redis redis://127.0.0.1:6379 --way d --keep\n\nIt exits with 0 when each way kept \
                  what it promises (a: nothing is missing; d: every list in order, but for repeats; the others: every \
                  list perfect), with 1 when one did not, with 2 when it could not begin."
)]
pub(crate) struct Options {
    /// How many keys there are.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    keys: u32,
    /// How many events each key has.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// How many partitions the hub has.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    partitions: u16,
    /// How many events a batch has at the most. 100 is the Event Hubs extension's own number; host.json of this product
    /// has 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    batch: u16,
    /// How many events of a pulled batch are in flight at once where each has an invocation of its own. Each takes two
    /// sockets, and so many are in flight in every partition.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    at_once: u16,
    /// How many sessions are worked on at once, as maxConcurrentSessions of host.json has it.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    max_sessions: u16,
    /// Each invocation waits before it appends: whole milliseconds, from 0 to this many, each as likely. The same for
    /// all ways; 0 for no wait at all.
    #[arg(long, value_name = "MS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=1_000))]
    delay: u64,
    /// What the waits are drawn from: the same seed gives the same wait to the same invocation.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these ways, without the part about one failing message; all by default.
    #[arg(long = "way", value_enum)]
    pub(crate) ways: Vec<Way>,
    /// Keep the lists in the Redis server at this address, as events:key-000 and so on, in place of this process. Those
    /// lists are deleted before each way and at the end.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// Leave the last way's lists in Redis.
    #[arg(long, requires = "redis")]
    pub(crate) keep: bool,
    /// Draw the order in which one key's events arrived into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For machines: one JSON object.
    Json,
}

/// As many as the queue with sessions holds.
const MOST_EVENTS: u64 = 500_000;

impl Options {
    /// Those of the command line; ends the program with a line that says so where they make no sense.
    pub(crate) fn read() -> Self {
        let options = Self::parse();
        let events = options.plan().all_events();
        if events > MOST_EVENTS {
            let told = format!("{events} events are more than the {MOST_EVENTS} that fit: fewer --keys or --events");
            Self::command().error(ErrorKind::ValueValidation, told).exit();
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
            longest_delay_ms: self.delay,
            seed: self.seed,
        }
    }

    /// The ways to go, in their order, each once.
    pub(crate) fn chosen(&self) -> Vec<Way> {
        Way::ALL.into_iter().filter(|way| self.ways.is_empty() || self.ways.contains(way)).collect()
    }
}
