//! What happened in a region over the time of its run: counts at regular times, and happenings such as a killed handler. Both are
//! bounded, however long the run is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_telemetry::inspect::without_values;
use hdrhistogram::Histogram;
use tokio::{
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::statistics::Statistics;

/// The interval of the first samples. Each time there are [`MAX_SAMPLES`], every second one is dropped and the interval doubles.
const FIRST_INTERVAL: Duration = Duration::from_millis(10);

/// Limits the samples.
const MAX_SAMPLES: usize = 300;

/// Limits the happenings of one kind. Later ones are only counted.
const MAX_HAPPENINGS_OF_A_KIND: usize = 50;

/// Happenings of the same kind and detail within this time are one happening.
const MERGED_WITHIN: Duration = Duration::from_millis(5);

/// Limits the different issues of dead letters. The others are counted together.
const MAX_ISSUES: usize = 100;

/// What happened in a region.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The time at which it was taken, which ends the run.
    pub end: Duration,
    /// Counts, at times that are equally far apart; the last one is at the end.
    pub samples: Vec<Sample>,
    /// Happenings in order of time.
    pub happenings: Vec<Happening>,
    /// How many happenings of a kind are not in the list.
    pub omitted: Vec<(HappeningKind, u64)>,
    /// The issues of dead letters without values that differ from event to event, and how many have each; the most frequent first.
    pub issues: Vec<(String, u64)>,
}

/// Counts from the start of a run to a time in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// The time since the start.
    pub at: Duration,
    /// Events that were sent to the hub or the queue.
    pub received: u64,
    /// Events that are processed.
    pub processed: u64,
    /// Failed attempts of batches.
    pub failed_attempts: u64,
    /// Events that became dead letters.
    pub dead_lettered: u64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When, since the start.
    pub at: Duration,
    /// What.
    pub kind: HappeningKind,
    /// To what, or why; may be empty.
    pub detail: String,
    /// How often, at nearly the same time.
    pub count: u64,
}

/// The kinds of happenings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HappeningKind {
    /// The instances were started.
    InstancesStarted,
    /// The lease of a partition was lost during a batch.
    LeaseLost,
    /// The demonstration killed a handler during a batch.
    HandlerKilled,
    /// A host restarted its handler.
    HandlerRestarted,
    /// A host whose handler failed too often was restarted.
    HostRestarted,
    /// The instances were stopped as for a deployment: each completes its invocations.
    InstancesStopped,
    /// Checkpoints were set back.
    CheckpointsRewound,
    /// An attempt of a batch failed.
    AttemptFailed,
    /// Events became dead letters.
    DeadLettered,
    /// The last retry of a batch failed, and its events are lost.
    BatchLost,
    /// The input ended, or a signal ended it.
    InputEnded,
}

/// Records the happenings of a region.
#[derive(Debug)]
pub(super) struct Happenings {
    started: Instant,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    happenings: Vec<Happening>,
    /// How many of each kind are in the list.
    listed: BTreeMap<HappeningKind, usize>,
    omitted: BTreeMap<HappeningKind, u64>,
    issues: BTreeMap<String, u64>,
}

impl Happenings {
    /// Starts the time of the run.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), recorded: Mutex::default() }
    }

    /// Returns the time of the run.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Records something that happened now.
    pub(super) fn record(&self, kind: HappeningKind, detail: &str, count: u64) {
        let at = self.elapsed();
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let Recorded { happenings, listed, omitted, .. } = &mut *recorded;
        let previous =
            happenings.iter_mut().rev().take_while(|previous| at.saturating_sub(previous.at) < MERGED_WITHIN);
        if let Some(same) = previous.into_iter().find(|previous| previous.kind == kind && previous.detail == detail) {
            same.count += count;
            return;
        }
        let listed = listed.entry(kind).or_default();
        if *listed == MAX_HAPPENINGS_OF_A_KIND {
            *omitted.entry(kind).or_default() += count;
            return;
        }
        *listed += 1;
        happenings.push(Happening { at, kind, detail: devicestate_engine::text::truncated(detail), count });
    }

    /// Counts the issue of a dead letter.
    pub(super) fn record_issue(&self, issue: &str) {
        let issue = without_values(issue);
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let issues = &mut recorded.issues;
        let key = if issues.contains_key(&issue) || issues.len() < MAX_ISSUES { issue } else { "other issues".into() };
        *issues.entry(key).or_default() += 1;
    }
}

/// Takes samples of the statistics of a region until it is dropped.
pub(super) struct Sampler {
    statistics: Arc<Statistics>,
    samples: Arc<Mutex<Samples>>,
    ticks: JoinHandle<()>,
}

impl Sampler {
    /// Takes samples from now on.
    pub(super) fn start(statistics: &Arc<Statistics>) -> Self {
        let samples = Arc::new(Mutex::new(Samples::new()));
        let (shared, counters) = (Arc::clone(&samples), Arc::clone(statistics));
        let ticks = tokio::spawn(async move {
            let mut ticks = regular(FIRST_INTERVAL);
            loop {
                ticks.tick().await;
                let every = shared.lock().unwrap_or_else(PoisonError::into_inner).add(counters.sample());
                if let Some(every) = every {
                    ticks = regular(every);
                    ticks.tick().await;
                }
            }
        });
        Self { statistics: Arc::clone(statistics), samples, ticks }
    }

    /// Returns what happened until now.
    pub(super) fn timeline(&self) -> Timeline {
        let last = self.statistics.sample();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner).samples.clone();
        samples.push(last);
        let recorded = self.statistics.happenings.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut issues: Vec<_> = recorded.issues.iter().map(|(issue, count)| (issue.clone(), *count)).collect();
        issues.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Timeline {
            end: last.at,
            samples,
            happenings: recorded.happenings.clone(),
            omitted: recorded.omitted.iter().map(|(kind, count)| (*kind, *count)).collect(),
            issues,
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

/// Returns ticks that are never nearer to each other than the interval, also after a busy time.
fn regular(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Samples at regular times, at most [`MAX_SAMPLES`].
struct Samples {
    interval: Duration,
    samples: Vec<Sample>,
}

impl Samples {
    fn new() -> Self {
        Self { interval: FIRST_INTERVAL, samples: Vec::new() }
    }

    /// Adds a sample. Returns the interval if it is a new one.
    fn add(&mut self, sample: Sample) -> Option<Duration> {
        self.samples.push(sample);
        if self.samples.len() < MAX_SAMPLES {
            return None;
        }
        // The newest one stays, because the next one follows it by the new interval.
        let mut index = 0;
        self.samples.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        self.interval *= 2;
        Some(self.interval)
    }
}

impl Statistics {
    /// Returns the counts of now.
    fn sample(&self) -> Sample {
        Sample {
            at: self.happenings.elapsed(),
            received: self.received.load(Relaxed),
            processed: self.processed.load(Relaxed),
            failed_attempts: self.failed_attempts.load(Relaxed),
            dead_lettered: self.dead_lettered(),
        }
    }
}

/// How many durations of a histogram of microseconds are in each range: the end of the range in milliseconds, which is twice that of
/// the previous one, and the count. From the first range that is not empty to the last one.
pub(super) fn distribution(microseconds: &Histogram<u64>) -> Vec<(f64, u64)> {
    let mut ranges = Vec::new();
    for range in microseconds.iter_log(125, 2.0) {
        let count = range.count_since_last_iteration();
        if count > 0 || !ranges.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "microseconds of a run")]
            ranges.push(((range.value_iterated_to() + 1) as f64 / 1e3, count));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_any_length_has_a_bounded_number_of_samples_over_its_whole_time() {
        let mut samples = Samples::new();
        let mut at = Duration::ZERO;
        // Five days.
        while at < Duration::from_hours(120) {
            samples.add(Sample { at, received: 1, ..Sample::default() });
            at += samples.interval;
        }
        let taken = &samples.samples;
        assert!((MAX_SAMPLES / 2 - 1..MAX_SAMPLES).contains(&taken.len()), "{}", taken.len());
        let steps: Vec<_> =
            taken.windows(2).map(|pair| pair[1].at.checked_sub(pair[0].at).expect("in order")).collect();
        assert!(steps.iter().all(|step| *step == samples.interval), "{steps:?}");
        assert!(taken[0].at <= samples.interval && taken[taken.len() - 1].at + samples.interval >= at);
    }

    #[tokio::test(start_paused = true)]
    async fn happenings_are_merged_if_they_are_the_same_and_bounded_by_kind() {
        let statistics = Arc::new(Statistics::new());
        let happenings = &statistics.happenings;
        for _ in 0..2 {
            happenings.record(HappeningKind::DeadLettered, "", 3);
            happenings.record(HappeningKind::AttemptFailed, "503", 1);
        }
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            happenings.record(HappeningKind::AttemptFailed, "503", 1);
        }
        happenings.record(HappeningKind::InputEnded, "", 1);
        for device in 0..200 {
            happenings.record_issue(&format!("found {device}"));
            happenings.record_issue(&format!("issue-{device}"));
        }
        let timeline = Sampler::start(&statistics).timeline();
        let kinds = |kind| timeline.happenings.iter().filter(move |happening| happening.kind == kind);
        assert_eq!(kinds(HappeningKind::DeadLettered).map(|happening| happening.count).collect::<Vec<_>>(), [6]);
        assert_eq!(kinds(HappeningKind::AttemptFailed).count(), MAX_HAPPENINGS_OF_A_KIND);
        assert_eq!(timeline.omitted, [(HappeningKind::AttemptFailed, 11)]);
        assert_eq!(kinds(HappeningKind::InputEnded).count(), 1, "one kind leaves room for others");
        assert_eq!(timeline.issues[0], ("found ".to_owned(), 200));
        assert_eq!((timeline.issues.len(), timeline.issues[1].clone()), (MAX_ISSUES + 1, ("other issues".into(), 101)));
        assert_eq!(timeline.end, Duration::from_mins(1));
    }

    #[test]
    fn a_distribution_has_every_duration_once() {
        let mut histogram = Histogram::new(3).expect("a precision");
        for microseconds in [1, 100, 130, 900, 1_100, 1_200, 90_000] {
            histogram.record(microseconds).expect("in range");
        }
        let ranges = distribution(&histogram);
        assert_eq!(ranges.iter().map(|(_, count)| count).sum::<u64>(), 7, "{ranges:?}");
        assert_eq!(ranges[0], (0.125, 2), "{ranges:?}");
        assert!(ranges.windows(2).all(|pair| pair[0].0 < pair[1].0), "{ranges:?}");
    }
}
