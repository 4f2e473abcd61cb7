//! The ordering experiment: the real program with lists in memory and in a real Redis, its order check and its picture.

mod experiment;
mod picture;
mod redis_lists;
mod strategies;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use devicestate_ordering::{
    order_check::{Example, OrderCheck},
    plan::Plan,
};

#[test]
fn a_seed_determines_the_delay_of_an_invocation() {
    let plan = |seed| Plan {
        keys: 1,
        events: 1,
        partitions: 1,
        batch: 100,
        at_once: 1,
        max_sessions: 1,
        max_delay_ms: 2,
        seed,
    };
    let delays = |seed| {
        let plan = plan(seed);
        (0..300).map(move |first| plan.delay("7", first)).collect::<Vec<_>>()
    };
    assert_eq!(delays(1), delays(1));
    assert_ne!(delays(1), delays(2));
    // Whole milliseconds from 0 to the maximum, uniformly distributed.
    let mut counts = BTreeMap::new();
    for delay in delays(1) {
        *counts.entry(delay).or_insert(0) += 1;
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [0, 1, 2].map(Duration::from_millis));
    assert!(counts.values().all(|count| (70..130).contains(count)), "{counts:?}");
    let of_one = |stream: &str| (0..300).map(|first| plan(1).delay(stream, first)).collect::<Vec<_>>();
    assert_ne!(of_one("7"), of_one("8"), "each partition has its own delays");
    let none = Plan { max_delay_ms: 0, ..plan(1) };
    assert_eq!((0..300).map(|first| none.delay("7", first)).collect::<BTreeSet<_>>(), [Duration::ZERO].into());
}

#[test]
fn the_order_check_distinguishes_disorder_repeats_and_gaps() {
    let lists = |lists: &[&[u32]]| (0..).zip(lists).map(|(key, list)| (format!("k{key}"), list.to_vec())).collect();
    let checked = |list: &[u32]| OrderCheck::new(&lists(&[list]), 4);
    let expected = |perfect_lists, lists_in_order, inversions, duplicates, gaps, example: Option<&[u32]>| OrderCheck {
        lists: 1,
        perfect_lists,
        lists_in_order,
        inversions,
        duplicates,
        gaps,
        example: example.map(|numbers| Example { key: "k0".to_owned(), numbers: numbers.to_vec() }),
    };
    assert_eq!(checked(&[1, 2, 3, 4]), expected(1, 1, 0, 0, 0, None));
    assert_eq!(checked(&[1, 3, 2, 4]), expected(0, 0, 1, 0, 0, Some(&[1, 3, 2, 4])));
    // A repeat is one inversion, at its start; without it, the list is in order.
    assert_eq!(checked(&[1, 2, 3, 2, 3, 4]), expected(0, 1, 1, 2, 0, Some(&[2, 3, 2, 3])));
    assert_eq!(checked(&[1, 2, 2, 3, 4]), expected(0, 1, 1, 1, 0, Some(&[1, 2, 2, 3])));
    assert_eq!(checked(&[1, 2, 4]), expected(0, 0, 0, 0, 1, None));
    assert_eq!(checked(&[]), expected(0, 0, 0, 0, 4, None));
    // A number that was not sent makes a list imperfect.
    assert_eq!(checked(&[1, 2, 3, 4, 5]), expected(0, 0, 0, 0, 0, None));
    let two = OrderCheck::new(&lists(&[&[1, 2], &[2, 1]]), 2);
    assert_eq!((two.lists, two.perfect_lists, two.inversions), (2, 1, 1));
    assert_eq!(two.example.expect("one").key, "k1");
}
