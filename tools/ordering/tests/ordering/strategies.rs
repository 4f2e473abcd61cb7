//! The order that each strategy keeps.

use std::{collections::BTreeMap, sync::Arc};

use devicestate_local::hub::{Hub, Options, Sent};
use serde_json::Value;

use crate::experiment::{SMALL, assert_only_repeats, count, only_strategy, report, run, run_successfully};

fn small(arguments: &[&str]) -> Value {
    report(&[&SMALL[..], arguments].concat())
}

#[test]
fn one_event_per_invocation_in_parallel_loses_the_order_but_no_event() {
    let report = small(&["--strategy", "a"]);
    let strategy = only_strategy(&report);
    assert_eq!((count(strategy, "invocations"), count(strategy, "lists")), (2_000, 20));
    assert!(count(strategy, "inversions") > 0 && count(strategy, "perfectLists") < 20, "{strategy}");
    assert_eq!((count(strategy, "gaps"), count(strategy, "duplicates")), (0, 0));
    let example: Vec<_> = strategy["example"]["numbers"].as_array().expect("one").iter().map(Value::as_u64).collect();
    assert!(example.windows(2).any(|pair| pair[1] <= pair[0]), "{example:?} is in order");
}

#[test]
fn ordered_batches_of_any_size_keep_every_list_in_order() {
    let report = small(&["--strategy", "b", "--strategy", "c"]);
    let strategies = report["strategies"].as_array().expect("strategies");
    for strategy in strategies {
        assert_eq!((count(strategy, "perfectLists"), count(strategy, "listsInOrder")), (20, 20), "{strategy}");
        assert_eq!(["inversions", "duplicates", "gaps"].map(|name| count(strategy, name)), [0; 3], "{strategy}");
        assert_eq!(strategy["example"], Value::Null);
    }
    assert_eq!(count(&strategies[0], "invocations"), 2_000, "one per event");
    // Batches are full except for the last of each partition.
    let events: Vec<_> = (0..4).map(|partition| hub(20, 100, 4).retained_events(partition).len()).collect();
    let batches: usize = events.iter().map(|events| events.div_ceil(20)).sum();
    assert_eq!(count(&strategies[1], "invocations"), batches as u64);
}

#[test]
fn a_hundred_thousand_events_in_batches_of_a_hundred_take_a_hundredth_of_the_invocations() {
    let report = report(&["--strategy", "c"]);
    let strategy = only_strategy(&report);
    assert_eq!((count(&report, "keys"), count(&report, "events"), count(&report, "partitions")), (100, 1_000, 20));
    assert_eq!((count(strategy, "lists"), count(strategy, "perfectLists")), (100, 100));
    // Batches of one take one invocation per event, see above.
    assert!(count(strategy, "invocations") * 100 <= 100_000, "{strategy}");
}

#[test]
fn a_crash_in_the_middle_repeats_events_and_loses_none() {
    let report = small(&["--strategy", "d"]);
    let strategy = only_strategy(&report);
    assert!(count(strategy, "duplicates") > 0 && count(strategy, "perfectLists") < 20, "{strategy}");
    assert_eq!((count(strategy, "gaps"), count(strategy, "listsInOrder")), (0, 20));
    // The picture's key has repeats, and each inversion is the start of one.
    let list: Vec<u32> = serde_json::from_value(report["pictured"]["lists"][0].clone()).expect("numbers");
    assert!(list.len() > 100, "no events were repeated: {list:?}");
    assert!(assert_only_repeats(&list) > 0);
    assert!(count(strategy, "inversions") <= count(strategy, "duplicates"));
}

#[test]
fn the_table_has_the_numbers_of_the_json() {
    let arguments = ["--strategy", "b", "--strategy", "c"];
    let (report, table) = (small(&arguments), run_successfully(&[&SMALL[..], &arguments].concat()));
    let lines: Vec<&str> = table.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("STRATEGY ")).expect("a head");
    assert!(lines[0].contains("20 keys x 100 ordered events, 4 partitions"), "{table}");
    for (line, strategy) in lines[head + 1..].iter().zip(report["strategies"].as_array().expect("strategies")) {
        let name = format!(
            "({}) {}",
            strategy["strategy"].as_str().expect("a letter"),
            strategy["description"].as_str().expect("a description")
        );
        let cells = line.strip_prefix(&name).unwrap_or_else(|| panic!("{name}: {line}")).split_whitespace();
        let cells: Vec<u64> = cells.map(|cell| cell.parse().expect("a number")).collect();
        let names = ["invocations", "perfectLists", "listsInOrder", "inversions", "duplicates", "gaps"];
        // The speed differs between runs.
        assert_eq!([&cells[..1], &cells[2..]].concat(), names.map(|name| count(strategy, name)));
    }
    assert_eq!(lines.len(), head + 3, "a line per strategy");
}

#[test]
fn a_failing_message_blocks_its_partition_and_with_sessions_only_its_key() {
    let report = report(&["--keys", "20", "--events", "60", "--partitions", "4", "--batch", "20"]);
    let failing_message = &report["oneFailingMessage"];
    // 6 events per key; the third of the first key fails.
    assert_eq!((count(&failing_message["plan"], "keys"), count(&failing_message["plan"], "events")), (20, 6));
    let strategies: BTreeMap<_, _> = failing_message["strategies"]
        .as_array()
        .expect("strategies")
        .iter()
        .map(|strategy| (strategy["description"].as_str(), strategy))
        .collect();

    let batches = strategies[&Some("batches of 20")];
    let hub = hub(20, 6, 4);
    let partition = (0..4)
        .map(|partition| hub.retained_events(partition))
        .find(|events| events.iter().any(|event| has_key(event, "key-000")));
    let partition = partition.expect("the partition of the first key");
    let fails =
        partition.iter().position(|event| has_key(event, "key-000") && event.sent.body.ends_with(b":3}")).expect("it");
    let waiting = &partition[fails / 20 * 20..];
    let keys: std::collections::BTreeSet<_> = waiting.iter().map(|event| &event.sent.partition_key).collect();
    let of_other_keys = waiting.iter().filter(|event| !has_key(event, "key-000")).count();
    assert!(keys.len() > 1 && of_other_keys > 0, "the test needs blocked events of other keys");
    assert_eq!((count(batches, "keys"), count(batches, "events")), (keys.len() as u64, waiting.len() as u64));
    assert_eq!(count(batches, "eventsOfOtherKeys"), of_other_keys as u64);

    let sessions = strategies[&Some("sessions, 8 at once")];
    assert_eq!((count(sessions, "keys"), count(sessions, "events"), count(sessions, "eventsOfOtherKeys")), (1, 4, 0));
    for strategy in strategies.values() {
        assert_eq!((count(strategy, "attempts"), count(strategy, "perfectLists")), (5, 20), "{strategy}");
    }
}

#[test]
fn sessions_keep_every_list_in_order_with_an_invocation_for_each_event() {
    let report = small(&["--strategy", "e"]);
    let strategy = only_strategy(&report);
    assert_eq!((count(strategy, "perfectLists"), count(strategy, "invocations")), (20, 2_000));
    assert_eq!(["inversions", "duplicates", "gaps"].map(|name| count(strategy, name)), [0; 3], "{strategy}");
}

#[test]
fn too_few_events_for_a_crash_are_an_error() {
    let output = run(&["--strategy", "d", "--keys", "2", "--events", "1", "--partitions", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(stderr.contains("every event was appended before the crash"), "{stderr}");
}

/// Creates a hub with the events of the experiment.
fn hub(keys: u32, events: u32, partitions: usize) -> Arc<Hub> {
    let plan = devicestate_ordering::plan::Plan {
        keys,
        events,
        partitions,
        batch: 20,
        at_once: 1,
        max_sessions: 1,
        max_delay_ms: 0,
        seed: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let hub = Hub::new(partitions, Options { retains_events: true, ..Options::default() });
    for event in plan.events_in_order() {
        let body = format!("{{\"key\":\"{}\",\"number\":{}}}", event.key, event.number).into_bytes();
        runtime.block_on(hub.send(Sent { body, partition_key: Some(event.key), ..Sent::default() }));
    }
    Arc::new(hub)
}

fn has_key(event: &devicestate_local::hub::HubEvent, key: &str) -> bool {
    event.sent.partition_key.as_deref() == Some(key)
}
