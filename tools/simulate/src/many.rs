//! Many runs, one for each seed, on all cores.

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

use super::{Tally, run};

/// A seed whose run broke a rule.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub violations: Vec<String>,
}

/// Runs these seeds, with about so many events each, until one fails or all are done. `done` hears of each run.
///
/// Gives back what happened in all of them, and the failure: of several at one time, that of the lowest seed.
pub fn many(seeds: Range<u64>, events: usize, done: &(dyn Fn() + Sync)) -> (Tally, Option<Failure>) {
    let (next, has_failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let total: Mutex<(Tally, Vec<Failure>)> = Mutex::default();
    let work = || {
        while !has_failed.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let run = catch_unwind(|| run(seed, events, false));
            done();
            let (tally, failures) = &mut *total.lock().unwrap_or_else(PoisonError::into_inner);
            let violations = match run {
                Ok(run) => {
                    tally.join(&run.tally);
                    run.violations
                }
                Err(panic) => vec![format!("it panicked: {}", panic_message(&*panic))],
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
    let (tally, failures) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    (tally, failures.into_iter().min_by_key(|failure| failure.seed))
}
