//! The report at the end.

use std::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};

use devicestate_terminal::{Table, clean};
use serde::Serialize;

use crate::counts::Counts;

/// What came of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Events that the hub has.
    events: u64,
    batches: u64,
    /// Of the batches on the wire, envelopes and all.
    bytes: u64,
    keys: usize,
    retries: u64,
    /// Why something was tried again, the last time.
    last_retry: Option<String>,
    /// Events that were sent again without anybody knowing whether the hub had them: so many may be there twice.
    perhaps_twice: u64,
    /// Events that were made and are not known to be in the hub.
    not_sent: u64,
    /// Whether somebody ended it before all events were made.
    stopped_early: bool,
    seconds: f64,
    events_per_second: u64,
}

impl Report {
    pub(crate) fn new(counts: &Counts, keys: usize, stopped_early: bool, took: Duration) -> Self {
        let events = counts.events.load(Relaxed);
        let per_second = u128::from(events) * 1_000_000 / took.as_micros().max(1);
        Self {
            events,
            batches: counts.batches.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            keys,
            retries: counts.retries.load(Relaxed),
            last_retry: counts.last_retry(),
            perhaps_twice: counts.perhaps_twice.load(Relaxed),
            not_sent: counts.made.load(Relaxed) - events,
            stopped_early,
            seconds: (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
            events_per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
        }
    }

    /// How many events are not known to be in the hub.
    pub(crate) fn not_sent(&self) -> u64 {
        self.not_sent
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut table = Table::new(["SENT", ""]);
        let mut row = |name: &str, number: String| table.row([name.to_owned(), number]);
        row("events", self.events.to_string());
        row("batches", self.batches.to_string());
        row("bytes", self.bytes.to_string());
        row("keys", self.keys.to_string());
        row("retries", self.retries.to_string());
        if self.perhaps_twice > 0 {
            row("events perhaps sent twice", self.perhaps_twice.to_string());
        }
        if self.not_sent > 0 {
            row("events made and not sent", self.not_sent.to_string());
        }
        row("seconds", format!("{:.3}", self.seconds));
        row("events/s", self.events_per_second.to_string());
        table.fmt(f)?;
        if let Some(reason) = &self.last_retry {
            writeln!(f, "last retry: {}", clean(reason))?;
        }
        if self.stopped_early {
            writeln!(f, "stopped before all events were made")?;
        }
        Ok(())
    }
}
