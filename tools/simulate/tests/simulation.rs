//! The simulation by some hundred seeds: it repeats itself, and everything that can go wrong does.

use devicestate_simulate::{Count, Fault, many, run};

/// The seeds of each test run, and about how many events each of them has.
const SEEDS: u64 = 300;
const EVENTS: u32 = 250;

#[test]
fn whatever_goes_wrong_each_event_is_in_the_account_once_and_nothing_goes_back() {
    let (tally, failure) = many(0..SEEDS, EVENTS as usize, &|| ());
    if let Some(failure) = failure {
        let repeat = format!("just simulate --seed {} --events {EVENTS} --trace", failure.seed);
        panic!("seed {}: {:#?}\n{repeat}", failure.seed, failure.violations);
    }
    assert_eq!(tally.of(Count::Runs), SEEDS);
    // A rule that is never put to the test proves nothing.
    for fault in Fault::ALL {
        assert!(tally.of(Count::Fault(fault)) > 0, "{} did not happen", fault.name());
    }
    for count in [Count::Redelivered, Count::LostWrites, Count::Replayed, Count::Overlaps] {
        assert!(tally.of(count) > 0, "{count:?} is none");
    }
    let (exact, replies) = (tally.of(Count::ExactCounts), tally.of(Count::FinalReplies));
    assert!(exact * 4 > replies * 3, "the counts of only {exact} of {replies} replies could be checked to the event");
}

#[test]
fn a_seed_repeats_itself_to_the_last_tag_and_the_last_millisecond() {
    let digests = || (1_000..1_020).map(|seed| run(seed, 200, false).digest).collect::<Vec<_>>();
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(digests);
        (digests(), other.join().expect("no panic"))
    });
    assert_eq!(one, other);
    let distinct: std::collections::BTreeSet<_> = one.iter().collect();
    assert_eq!(distinct.len(), one.len(), "other seeds are other runs");
}
