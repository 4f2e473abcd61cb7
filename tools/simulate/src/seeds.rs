//! Runs many seeds on all cores.

use std::{
    ops::Range,
    panic::catch_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use devicestate_engine::text::panic_message;

use super::{Counts, run};

/// A seed whose run violated a check.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub violations: Vec<String>,
}

/// Runs `seeds` with about `events` events each, until one fails or all are done. Calls `on_done` after each run.
///
/// Returns the counts of all runs and the failure; if several seeds failed concurrently, that of the lowest seed.
pub fn run_seeds(seeds: Range<u64>, events: usize, on_done: &(dyn Fn() + Sync)) -> (Counts, Option<Failure>) {
    let (next, has_failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let total: Mutex<(Counts, Vec<Failure>)> = Mutex::default();
    let work = || {
        while !has_failed.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let run = catch_unwind(|| run(seed, events, false));
            on_done();
            let (counts, failures) = &mut *total.lock().unwrap_or_else(PoisonError::into_inner);
            let violations = match run {
                Ok(run) => {
                    counts.add_all(&run.counts);
                    run.violations
                }
                Err(panic) => vec![format!("the run panicked: {}", panic_message(&*panic))],
            };
            if !violations.is_empty() {
                has_failed.store(true, Relaxed);
                failures.push(Failure { seed, violations });
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (counts, failures) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    (counts, failures.into_iter().min_by_key(|failure| failure.seed))
}
