//! The result of a run.

use std::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};

use devicestate_terminal::{Table, clean};
use serde::Serialize;

use crate::counts::Counts;

/// The result of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Events that the hub accepted.
    events: u64,
    /// Records in these events.
    records: u64,
    batches: u64,
    /// Bytes of the batches on the wire, with their envelopes.
    bytes: u64,
    keys: usize,
    retries: u64,
    last_retry: Option<LastRetry>,
    /// Events that were sent again although the hub may have accepted them: they may be in the hub twice.
    possible_duplicates: u64,
    /// Events that were created and are not known to be in the hub.
    not_sent: u64,
    /// Whether the run ended before all events were created.
    stopped_early: bool,
    seconds: f64,
    events_per_second: u64,
    /// The rate that `--rate` requests, in events per second.
    rate: Option<u32>,
    /// Whether the hub accepted the events at this rate; `None` without `--rate`.
    rate_reached: Option<bool>,
}

/// The last attempt that was repeated.
#[derive(Debug, Serialize)]
struct LastRetry {
    reason: String,
}

impl Report {
    pub(crate) fn new(counts: &Counts, keys: usize, stopped_early: bool, rate: Option<u32>, elapsed: Duration) -> Self {
        let events = counts.events.load(Relaxed);
        let per_second = u128::from(events) * 1_000_000 / elapsed.as_micros().max(1);
        Self {
            events,
            records: counts.records.load(Relaxed),
            batches: counts.batches.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            keys,
            retries: counts.retries.load(Relaxed),
            last_retry: counts.last_retry_reason().map(|reason| LastRetry { reason }),
            possible_duplicates: counts.possible_duplicates.load(Relaxed),
            not_sent: counts.created.load(Relaxed) - events,
            stopped_early,
            seconds: (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
            events_per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
            rate,
            rate_reached: rate.map(|rate| is_rate_reached(rate, events, elapsed)),
        }
    }

    /// Returns how many events are not known to be in the hub.
    pub(crate) fn not_sent(&self) -> u64 {
        self.not_sent
    }
}

/// Returns whether this many events took no longer than they may at this rate: 5 % more for the inexact clock, and half a second
/// for the connections and the last responses.
fn is_rate_reached(rate: u32, events: u64, elapsed: Duration) -> bool {
    const STARTING_AND_ENDING: Duration = Duration::from_millis(500);
    let permitted = Duration::from_micros(events.saturating_mul(1_050_000) / u64::from(rate.max(1)));
    elapsed <= permitted + STARTING_AND_ENDING
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut table = Table::new(["SENT", ""]);
        let mut row = |name: &str, number: String| table.row([name.to_owned(), number]);
        row("events", self.events.to_string());
        if self.records > self.events {
            row("records", self.records.to_string());
        }
        row("batches", self.batches.to_string());
        row("bytes", self.bytes.to_string());
        row("keys", self.keys.to_string());
        row("retries", self.retries.to_string());
        if self.possible_duplicates > 0 {
            row("possible duplicates", self.possible_duplicates.to_string());
        }
        if self.not_sent > 0 {
            row("not sent", self.not_sent.to_string());
        }
        row("seconds", format!("{:.3}", self.seconds));
        row("events/s", self.events_per_second.to_string());
        table.fmt(f)?;
        if let Some(LastRetry { reason }) = &self.last_retry {
            writeln!(f, "last retry: {}", clean(reason))?;
        }
        if let (Some(rate), Some(false)) = (self.rate, self.rate_reached) {
            writeln!(
                f,
                "the rate of {rate}/s was not reached: the hub did not respond fast enough; more lanes (--in-flight) or more \
                 keys have more batches in flight"
            )?;
        }
        if self.stopped_early {
            writeln!(f, "stopped before all events were created")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_reached_within_five_percent_and_half_a_second() {
        let reached = |rate, events, millis| is_rate_reached(rate, events, Duration::from_millis(millis));
        assert!(reached(2_000, 20_000, 10_999) && !reached(2_000, 20_000, 11_001));
        assert!(reached(2_000, 0, 500) && reached(10, 1, 600) && !reached(10, 1, 700));
    }
}
