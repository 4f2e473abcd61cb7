//! What the connections have done so far.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::counts::Counts;

/// Ten minutes, as which longer latencies count.
const LONGEST_NS: u64 = 600_000_000_000;

/// Shared by all connections, which run in one thread.
pub(crate) struct Tally {
    /// All requests and events that were answered, also those of the time that does not count.
    pub(crate) requests: Cell<u64>,
    pub(crate) events: Cell<u64>,
    /// What the records of the replies said.
    pub(crate) records: Cell<Counts>,
    /// Those that were answered in the time that counts.
    pub(crate) counted: RefCell<Counted>,
}

/// What was answered in the time that counts.
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    /// In nanoseconds, from the first byte written to the last one read.
    pub(crate) latencies: Histogram<u64>,
    /// Those of the connection with large bodies.
    pub(crate) large_latencies: Histogram<u64>,
}

/// The time that counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) begin: Instant,
    /// `None` where it ends when everything is sent.
    pub(crate) end: Option<Instant>,
}

impl Window {
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| now >= end)
    }

    fn has(&self, moment: Instant) -> bool {
        moment >= self.begin && !self.is_over(moment)
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        let histogram = || Histogram::new_with_max(LONGEST_NS, 3).expect("three digits are possible");
        Self {
            requests: Cell::default(),
            events: Cell::default(),
            records: Cell::default(),
            counted: RefCell::new(Counted {
                requests: 0,
                events: 0,
                latencies: histogram(),
                large_latencies: histogram(),
            }),
        }
    }

    /// A reply to a batch of so many events. It came now, after so long.
    pub(crate) fn answered(&self, window: &Window, events: u32, is_large: bool, now: Instant, took: Duration) {
        self.requests.update(|requests| requests + 1);
        self.events.update(|sent| sent + u64::from(events));
        if window.has(now) {
            let mut counted = self.counted.borrow_mut();
            counted.requests += 1;
            counted.events += u64::from(events);
            let histogram = if is_large { &mut counted.large_latencies } else { &mut counted.latencies };
            histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn told(&self, counts: Counts) {
        self.records.update(|mut sum| {
            sum += counts;
            sum
        });
    }
}
