//! The ordering experiment: the real program, over lists in memory and in a real Redis, and what its numbers
//! and its picture are worth.

mod experiment;
mod picture;
mod redis_lists;
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use devicestate_ordering::{
    plan::Plan,
    verdict::{Example, Verdict},
};

#[test]
fn an_invocation_waits_as_long_each_time_with_the_same_seed_and_not_with_another() {
    let plan = |seed| Plan {
        keys: 1,
        events: 1,
        partitions: 1,
        batch: 100,
        at_once: 1,
        max_sessions: 1,
        longest_delay_ms: 2,
        seed,
    };
    let delays = |seed| {
        let plan = plan(seed);
        (0..300).map(move |first| plan.delay("7", first)).collect::<Vec<_>>()
    };
    assert_eq!(delays(1), delays(1));
    assert_ne!(delays(1), delays(2));
    // Whole milliseconds from none to the longest, each about as often.
    let mut counts = BTreeMap::new();
    for delay in delays(1) {
        *counts.entry(delay).or_insert(0) += 1;
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [0, 1, 2].map(Duration::from_millis));
    assert!(counts.values().all(|count| (70..130).contains(count)), "{counts:?}");
    let of_one = |stream: &str| (0..300).map(|first| plan(1).delay(stream, first)).collect::<Vec<_>>();
    assert_ne!(of_one("7"), of_one("8"), "each partition has its own");
    let none = Plan { longest_delay_ms: 0, ..plan(1) };
    assert_eq!((0..300).map(|first| none.delay("7", first)).collect::<BTreeSet<_>>(), [Duration::ZERO].into());
}

#[test]
fn a_verdict_tells_disorder_repeats_and_gaps_apart() {
    let lists = |lists: &[&[u32]]| (0..).zip(lists).map(|(key, list)| (format!("k{key}"), list.to_vec())).collect();
    let of = |list: &[u32]| Verdict::of(&lists(&[list]), 4);
    let verdict = |perfect_lists, lists_in_order, inversions, duplicates, gaps, example: Option<&[u32]>| Verdict {
        lists: 1,
        perfect_lists,
        lists_in_order,
        inversions,
        duplicates,
        gaps,
        example: example.map(|numbers| Example { key: "k0".to_owned(), numbers: numbers.to_vec() }),
    };
    assert_eq!(of(&[1, 2, 3, 4]), verdict(1, 1, 0, 0, 0, None));
    assert_eq!(of(&[1, 3, 2, 4]), verdict(0, 0, 1, 0, 0, Some(&[1, 3, 2, 4])));
    // A repeat is an inversion where it begins, and nowhere else; what arrived first is in order.
    assert_eq!(of(&[1, 2, 3, 2, 3, 4]), verdict(0, 1, 1, 2, 0, Some(&[2, 3, 2, 3])));
    assert_eq!(of(&[1, 2, 2, 3, 4]), verdict(0, 1, 1, 1, 0, Some(&[1, 2, 2, 3])));
    assert_eq!(of(&[1, 2, 4]), verdict(0, 0, 0, 0, 1, None));
    assert_eq!(of(&[]), verdict(0, 0, 0, 0, 4, None));
    // A number that nobody sent is no event in its place.
    assert_eq!(of(&[1, 2, 3, 4, 5]), verdict(0, 0, 0, 0, 0, None));
    let two = Verdict::of(&lists(&[&[1, 2], &[2, 1]]), 2);
    assert_eq!((two.lists, two.perfect_lists, two.inversions), (2, 1, 1));
    assert_eq!(two.example.expect("one").key, "k1");
}
