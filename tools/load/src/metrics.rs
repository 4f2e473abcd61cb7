//! The requests, events and latencies measured so far.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::counts::Counts;

/// The longest recorded latency, ten minutes; longer ones are recorded as this.
const MAX_LATENCY_NS: u64 = 600_000_000_000;

/// The metrics of a run, shared by all connections, which run in one thread.
pub(crate) struct Metrics {
    /// All requests and events with a reply, also outside the measured time.
    pub(crate) requests: Cell<u64>,
    pub(crate) events: Cell<u64>,
    /// The sum of the counts in the replies' records.
    pub(crate) records: Cell<Counts>,
    /// The decoded records of packed events, by these records; 0 if these do not count them.
    pub(crate) decoded_records: Cell<u64>,
    /// The requests in the measured time.
    pub(crate) measured: RefCell<Measured>,
}

/// Requests whose replies arrived in the measured time.
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    /// In nanoseconds, from the first byte written to the last one read.
    pub(crate) latencies: Histogram<u64>,
    /// The latencies of the connection with large bodies.
    pub(crate) large_latencies: Histogram<u64>,
}

/// The measured time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    /// `None` if it ends when all batches are sent.
    pub(crate) end: Option<Instant>,
}

impl Window {
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| now >= end)
    }

    fn contains(&self, time: Instant) -> bool {
        time >= self.begin && !self.is_over(time)
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let histogram = || Histogram::new_with_max(MAX_LATENCY_NS, 3).expect("three digits are possible");
        Self {
            requests: Cell::default(),
            events: Cell::default(),
            records: Cell::default(),
            decoded_records: Cell::default(),
            measured: RefCell::new(Measured {
                requests: 0,
                events: 0,
                latencies: histogram(),
                large_latencies: histogram(),
            }),
        }
    }

    /// Records a reply to a batch of `events` events that arrived at `now`, `took` after its request.
    pub(crate) fn record_reply(&self, window: &Window, events: u32, is_large: bool, now: Instant, took: Duration) {
        self.requests.update(|requests| requests + 1);
        self.events.update(|sent| sent + u64::from(events));
        if window.contains(now) {
            let mut measured = self.measured.borrow_mut();
            measured.requests += 1;
            measured.events += u64::from(events);
            let histogram = if is_large { &mut measured.large_latencies } else { &mut measured.latencies };
            histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Adds the counts of a reply's record.
    pub(crate) fn add_record(&self, counts: Counts, decoded_records: u64) {
        self.decoded_records.update(|sum| sum + decoded_records);
        self.records.update(|mut sum| {
            sum += counts;
            sum
        });
    }
}
