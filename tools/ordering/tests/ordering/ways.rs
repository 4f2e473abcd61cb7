//! What each way does to the order.

use std::{collections::BTreeMap, sync::Arc};

use devicestate_local::hub::{Hub, Options, Sent};
use serde_json::Value;

use crate::experiment::{SMALL, assert_only_repeats, count, printed, report, run, the_way};

fn small(arguments: &[&str]) -> Value {
    report(&[&SMALL[..], arguments].concat())
}

#[test]
fn one_event_per_invocation_in_parallel_loses_the_order_and_no_event() {
    let report = small(&["--way", "a"]);
    let way = the_way(&report);
    assert_eq!((count(way, "invocations"), count(way, "lists")), (2_000, 20));
    assert!(count(way, "inversions") > 0 && count(way, "perfectLists") < 20, "{way}");
    assert_eq!((count(way, "gaps"), count(way, "duplicates")), (0, 0));
    let example: Vec<_> = way["example"]["numbers"].as_array().expect("one").iter().map(Value::as_u64).collect();
    assert!(example.windows(2).any(|pair| pair[1] <= pair[0]), "{example:?} is in order");
}

#[test]
fn ordered_batches_keep_every_list_perfect_whatever_their_size() {
    let report = small(&["--way", "b", "--way", "c"]);
    let ways = report["ways"].as_array().expect("ways");
    for way in ways {
        assert_eq!((count(way, "perfectLists"), count(way, "listsInOrder")), (20, 20), "{way}");
        assert_eq!(["inversions", "duplicates", "gaps"].map(|name| count(way, name)), [0; 3], "{way}");
        assert_eq!(way["example"], Value::Null);
    }
    assert_eq!(count(&ways[0], "invocations"), 2_000, "one for each event");
    // Batches are full but for the last of each partition.
    let events: Vec<_> = (0..4).map(|partition| hub(20, 100, 4).retained_events(partition).len()).collect();
    let batches: usize = events.iter().map(|events| events.div_ceil(20)).sum();
    assert_eq!(count(&ways[1], "invocations"), batches as u64);
}

#[test]
fn a_hundred_thousand_events_in_batches_of_a_hundred_take_a_hundredth_of_the_invocations() {
    let report = report(&["--way", "c"]);
    let way = the_way(&report);
    assert_eq!((count(&report, "keys"), count(&report, "events"), count(&report, "partitions")), (100, 1_000, 20));
    assert_eq!((count(way, "lists"), count(way, "perfectLists")), (100, 100));
    // Batches of one take an invocation for each event: see above.
    assert!(count(way, "invocations") * 100 <= 100_000, "{way}");
}

#[test]
fn a_crash_in_the_middle_repeats_events_and_loses_none() {
    let report = small(&["--way", "d"]);
    let way = the_way(&report);
    assert!(count(way, "duplicates") > 0 && count(way, "perfectLists") < 20, "{way}");
    assert_eq!((count(way, "gaps"), count(way, "listsInOrder")), (0, 20));
    // The key of the picture has repeats, and each inversion is where one begins.
    let list: Vec<u32> = serde_json::from_value(report["pictured"]["lists"][0].clone()).expect("numbers");
    assert!(list.len() > 100, "nothing came again: {list:?}");
    assert!(assert_only_repeats(&list) > 0);
    assert!(count(way, "inversions") <= count(way, "duplicates"));
}

#[test]
fn the_table_says_what_the_json_says() {
    let arguments = ["--way", "b", "--way", "c"];
    let (report, table) = (small(&arguments), printed(&[&SMALL[..], &arguments].concat()));
    let lines: Vec<&str> = table.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("WAY ")).expect("a head");
    assert!(lines[0].contains("20 keys x 100 ordered events, 4 partitions"), "{table}");
    for (line, way) in lines[head + 1..].iter().zip(report["ways"].as_array().expect("ways")) {
        let name = format!("({}) {}", way["way"].as_str().expect("a letter"), way["name"].as_str().expect("a name"));
        let cells = line.strip_prefix(&name).unwrap_or_else(|| panic!("{name}: {line}")).split_whitespace();
        let cells: Vec<u64> = cells.map(|cell| cell.parse().expect("a number")).collect();
        let names = ["invocations", "perfectLists", "listsInOrder", "inversions", "duplicates", "gaps"];
        // How fast it was differs from run to run.
        assert_eq!([&cells[..1], &cells[2..]].concat(), names.map(|name| count(way, name)));
    }
    assert_eq!(lines.len(), head + 3, "a line for each way");
}

#[test]
fn behind_one_failing_message_its_whole_partition_waits_and_in_sessions_only_its_key() {
    let report = report(&["--keys", "20", "--events", "60", "--partitions", "4", "--batch", "20"]);
    let failing = &report["oneFailingMessage"];
    // 6 events for each key, of which the third of the first key fails.
    assert_eq!((count(&failing["plan"], "keys"), count(&failing["plan"], "events")), (20, 6));
    let ways: BTreeMap<_, _> =
        failing["ways"].as_array().expect("ways").iter().map(|way| (way["way"].as_str(), way)).collect();

    let batches = ways[&Some("batches of 20")];
    let hub = hub(20, 6, 4);
    let partition = (0..4)
        .map(|partition| hub.retained_events(partition))
        .find(|events| events.iter().any(|event| is(event, "key-000")));
    let partition = partition.expect("the partition of the first key");
    let fails =
        partition.iter().position(|event| is(event, "key-000") && event.sent.body.ends_with(b":3}")).expect("it");
    let waiting = &partition[fails / 20 * 20..];
    let keys: std::collections::BTreeSet<_> = waiting.iter().map(|event| &event.sent.partition_key).collect();
    let of_other_keys = waiting.iter().filter(|event| !is(event, "key-000")).count();
    assert!(keys.len() > 1 && of_other_keys > 0, "nothing to be seen with these counts");
    assert_eq!((count(batches, "keys"), count(batches, "events")), (keys.len() as u64, waiting.len() as u64));
    assert_eq!(count(batches, "eventsOfOtherKeys"), of_other_keys as u64);

    let sessions = ways[&Some("sessions, 8 at once")];
    assert_eq!((count(sessions, "keys"), count(sessions, "events"), count(sessions, "eventsOfOtherKeys")), (1, 4, 0));
    for way in ways.values() {
        assert_eq!((count(way, "attempts"), count(way, "perfectLists")), (5, 20), "{way}");
    }
}

#[test]
fn sessions_keep_every_list_perfect_with_an_invocation_for_each_event() {
    let report = small(&["--way", "e"]);
    let way = the_way(&report);
    assert_eq!((count(way, "perfectLists"), count(way, "invocations")), (20, 2_000));
    assert_eq!(["inversions", "duplicates", "gaps"].map(|name| count(way, name)), [0; 3], "{way}");
}

#[test]
fn a_crash_for_which_there_are_too_few_events_is_told_and_not_made_up() {
    let output = run(&["--way", "d", "--keys", "2", "--events", "1", "--partitions", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(told.contains("every event was appended before the crash"), "{told}");
}

/// A hub with the events of the experiment.
fn hub(keys: u32, events: u32, partitions: usize) -> Arc<Hub> {
    let plan = devicestate_ordering::plan::Plan {
        keys,
        events,
        partitions,
        batch: 20,
        at_once: 1,
        max_sessions: 1,
        longest_delay_ms: 0,
        seed: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let hub = Hub::new(partitions, Options { retains_events: true, ..Options::default() });
    for event in plan.sent() {
        let body = format!("{{\"key\":\"{}\",\"number\":{}}}", event.key, event.number).into_bytes();
        runtime.block_on(hub.send(Sent { body, partition_key: Some(event.key), content_type: None }));
    }
    Arc::new(hub)
}

fn is(event: &devicestate_local::hub::HubEvent, key: &str) -> bool {
    event.sent.partition_key.as_deref() == Some(key)
}
