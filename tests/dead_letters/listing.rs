//! The command `list`.

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event, Reply};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![
    each_dead_letter_is_listed_once_and_released,
    a_peek_lists_the_first_32_without_receiving_them,
    each_filter_selects_alone_and_with_others,
    ids_and_their_first_digits_select_dead_letters,
    groups_have_counts_and_times,
    list_prints_only_json_on_standard_output,
    the_list_is_aligned_and_devices_cannot_disturb_it,
    foreign_messages_are_listed_apart,
    the_list_shows_failed_replays_and_what_is_set_aside,
];

/// Returns a batch of one valid event, and invalid ones of three kinds, two stages and two devices.
fn batch() -> Batch {
    Batch::of([
        Event::json(1, &json!({"deviceId": "drone-1", "battery": 0.5})),
        Event::json(2, &json!({"battery": 0.5})).partition_key("drone-1"),
        Event::json(3, &json!({"deviceId": "drone-2", "flightMode": 99})).partition_key("a key"),
        Event::new(4, "{\"deviceId\":\"drone-2\",\"bat").partition_key("drone-2"),
    ])
}

/// Handles the batch in partitions 0 and 7.
fn two_partitions(bench: &Bench) -> [Reply; 2] {
    [batch(), batch().partition("7")].map(|batch| bench.handle_with_device_ids(&batch))
}

fn numbers(rows: &Value, of: &str) -> Vec<i64> {
    let mut numbers: Vec<_> = rows.as_array().expect("an array").iter().map(|row| row[of].as_i64()).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| number.expect("a number")).collect()
}

fn each_dead_letter_is_listed_once_and_released(bench: &Bench) {
    let reply = bench.handle(&batch());
    bench.put_all(&reply);
    bench.put(reply.dead_letters[0].to_string());
    let listed = bench.json(&["list"], 0);
    assert_eq!(numbers(&listed, "repeats"), [1, 1, 2]);
    assert_eq!((bench.count(), bench.dequeue_counts()), (7, vec![1; 7]));
    let output = bench.run(&["list"]).assert_exit_code(0);
    assert!(output.errors.contains("3 dead letters; 4 more messages repeat them."), "{}", output.errors);
    assert!(
        output.errors.contains("made visible again, which increased their dequeue counts; --peek"),
        "{}",
        output.errors
    );
    assert_eq!(bench.dequeue_counts(), [2; 7]);
}

fn a_peek_lists_the_first_32_without_receiving_them(bench: &Bench) {
    let events: Vec<_> = (1..=33).map(|number| Event::json(number, &json!({"battery": number}))).collect();
    bench.handle(&Batch::of(events));
    let output = bench.run(&["list", "--peek"]).assert_exit_code(0);
    assert_eq!(output.output.lines().count(), 1 + 32, "{}", output.output);
    assert!(output.errors.contains("Only the first 32 messages were read."), "{}", output.errors);
    assert_eq!(bench.dequeue_counts(), [0; 32]);
    assert_eq!(bench.json(&["list"], 0).as_array().map(Vec::len), Some(33));
}

fn each_filter_selects_alone_and_with_others(bench: &Bench) {
    two_partitions(bench);
    let cases: &[(&[&str], &[i64])] = &[
        (&[], &[2, 2, 3, 3, 4, 4]),
        (&["--device", "drone-1"], &[2, 2]),
        (&["--device", "drone-2"], &[3, 3, 4, 4]),
        (&["--device", "a key"], &[]),
        (&["--stage", "validate"], &[3, 3]),
        (&["--stage", "update"], &[]),
        (&["--issue", "flight mode [0-9]+ is|ends in the middle"], &[3, 3, 4, 4]),
        (&["--issue", "^the text"], &[]),
        (&["--since", "1h"], &[2, 2, 3, 3, 4, 4]),
        (&["--since", "2026-01-01T00:00:00Z"], &[2, 2, 3, 3, 4, 4]),
        (&["--since", "2999-01-01T00:00:00Z"], &[]),
        (&["--partition", "7"], &[2, 3, 4]),
        (&["--partition", "1"], &[]),
        (&["--sequence-numbers", "2..3"], &[2, 2, 3, 3]),
        (&["--sequence-numbers", "4.."], &[4, 4]),
        (&["--device", "drone-2", "--stage", "deserialize"], &[4, 4]),
        (
            &[
                "--device",
                "drone-2",
                "--stage",
                "validate",
                "--partition",
                "0",
                "--sequence-numbers",
                "3",
                "--since",
                "1h",
            ],
            &[3],
        ),
        (&["--device", "drone-2", "--issue", "device id is missing"], &[]),
    ];
    for (options, expected) in cases {
        let listed = bench.json(&[&["list"], *options].concat(), 0);
        assert_eq!(numbers(&listed, "sequenceNumber"), *expected, "{options:?}");
    }
    let result = bench.run(&["list", "--device", "drone-9"]).assert_exit_code(0);
    assert_eq!(result.output, "", "a script reads no row");
    assert!(result.errors.contains("0 dead letters; 6 messages do not match the filter."), "{}", result.errors);
}

fn ids_and_their_first_digits_select_dead_letters(bench: &Bench) {
    let [reply, _] = two_partitions(bench);
    let id = |index: usize| reply.dead_letters[index]["Id"].as_str().expect("an id");
    let (first, second) = (&id(0)[..10].to_uppercase(), id(1));
    assert_eq!(numbers(&bench.json(&["list", first, second], 0), "sequenceNumber"), [2, 3]);
    assert_eq!(numbers(&bench.json(&["list", first, second, "--sequence-numbers", "3"], 0), "sequenceNumber"), [3]);
    assert_eq!(bench.json(&["list", "00000000"], 0), json!([]));
}

fn groups_have_counts_and_times(bench: &Bench) {
    let replies = two_partitions(bench);
    bench.handle_with_device_ids(&Batch::of([Event::json(9, &json!({"deviceId": "drone-2", "flightMode": 100}))]));
    bench.handle(&Batch::of([Event::new(10, "")]));
    let counts = |by: &str| -> Vec<(String, u64)> {
        let groups = bench.json(&["list", "--group-by", by], 0);
        let groups = groups.as_array().expect("an array").iter();
        groups
            .map(|group| (group[by].as_str().expect("text").into(), group["count"].as_u64().expect("a number")))
            .collect()
    };
    let of = |groups: &[(&str, u64)]| -> Vec<_> {
        groups.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(counts("device"), of(&[("drone-2", 5), ("drone-1", 2), ("", 1)]));
    assert_eq!(counts("stage"), of(&[("deserialize", 5), ("validate", 3)]));
    assert_eq!(counts("partition"), of(&[("0", 5), ("7", 3)]));
    let issues = counts("issue");
    assert_eq!(issues[0], ("flight mode # is undefined: it must be # (Unknown) to # (Offline)".into(), 3));
    assert_eq!(issues.len(), 4, "{issues:?}");
    assert!(issues.contains(&("the body is empty, so the device id is missing".into(), 1)), "{issues:?}");

    let group = &bench.json(&["list", "--group-by", "stage", "--stage", "validate", "--sequence-numbers", "3"], 0)[0];
    let times = [0, 1].map(|reply: usize| replies[reply].dead_letters[1]["Time"].as_str().expect("a time"));
    assert_eq!((&group["first"], &group["last"]), (&json!(times.iter().min()), &json!(times.iter().max())));
    let table = bench.run(&["list", "--group-by", "device"]).assert_exit_code(0).output;
    let expected = ["COUNT  FIRST (UTC)", "    5  20", "    2  20", "    1  20"];
    for (line, begin) in table.lines().zip(expected) {
        assert!(line.starts_with(begin), "{table}");
    }
    assert!(table.ends_with("unknown\n"), "{table}");
}

fn list_prints_only_json_on_standard_output(bench: &Bench) {
    for options in [&["list"][..], &["list", "--peek"], &["list", "--group-by", "issue"]] {
        assert_eq!(bench.json(options, 0), json!([]), "{options:?}");
    }
    let reply = bench.handle(&batch());
    let listed = bench.json(&["list", "--sequence-numbers", "3"], 0);
    let expected = &reply.dead_letters[1];
    for (name, of_message) in [
        ("id", "Id"),
        ("issue", "Issue"),
        ("stage", "Stage"),
        ("errorClass", "ErrorClass"),
        ("deviceId", "DeviceId"),
        ("time", "Time"),
    ] {
        assert_eq!(listed[0][name], expected[of_message], "{name}");
    }
    assert_eq!((&listed[0]["partitionKey"], &listed[0]["partitionId"]), (&json!("a key"), &json!("0")));
}

fn the_list_is_aligned_and_devices_cannot_disturb_it(bench: &Bench) {
    let event = |number: i64, device: &str| Event::json(number, &json!({"deviceId": device, "flightMode": 99}));
    bench.handle_with_device_ids(&Batch::of([event(1, "d"), event(20_000, "\u{1b}[2J\r\n\u{9b}1A\u{202e}dr\u{f6}ne")]));
    let result = bench.run(&["list"]).assert_exit_code(0);
    let lines: Vec<Vec<char>> = result.output.lines().map(|line| line.chars().collect()).collect();
    assert_eq!(lines.len(), 3, "{}", result.output);
    for name in ["STAGE", "DEVICE", "ISSUE"] {
        let head: String = lines[0].iter().collect();
        let column = head.find(name).expect("a column");
        for line in &lines {
            assert!(line[column - 1] == ' ' && line[column] != ' ', "{name}:\n{}", result.output);
        }
    }
    let end = |line: &Vec<char>, text: &str| line.iter().collect::<String>().find(text).expect("text") + text.len();
    assert_eq!(end(&lines[0], "SEQUENCE"), end(&lines[1], " 1  flight") - 8, "numbers are right-aligned");
    assert!(!result.output.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{:?}", result.output);
}

fn foreign_messages_are_listed_apart(bench: &Bench) {
    bench.put("hello");
    let result = bench.run(&["list"]).assert_exit_code(0);
    let head = result.output.lines().next().unwrap_or_default();
    assert!(head.starts_with("MESSAGE") && head.ends_with("NOT A DEAD LETTER"), "{}", result.output);
    assert!(result.errors.contains("0 dead letters; 1 message is not a dead letter."), "{}", result.errors);
    let listed = bench.json(&["list"], 0);
    assert_eq!(listed[0]["id"], Value::Null);
    let message = listed[0]["messageId"].as_str().expect("an id");
    assert!(result.output.contains(message), "it can be named: {}", result.output);
    assert_eq!(bench.json(&["list", "--stage", "update"], 0), json!([]), "no filter selects it");
}

fn the_list_shows_failed_replays_and_what_is_set_aside(bench: &Bench) {
    bench.handle(&batch());
    assert!(!bench.run(&["list"]).output.contains("REPLAYS"));
    for _ in 0..5 {
        bench.run(&["replay", "--sequence-numbers", "3", "--yes"]).assert_exit_code(1);
    }
    let result = bench.run(&["list"]).assert_exit_code(0);
    assert!(result.output.lines().next().is_some_and(|head| head.contains("REPLAYS")), "{}", result.output);
    let replayed: Vec<_> = result.output.lines().filter(|line| line.contains("        5  flight mode")).collect();
    assert_eq!(replayed.len(), 1, "{}", result.output);
    assert!(
        result.errors.contains("1 dead letter failed in 5 replays or more: `dead-letters replay` skips it"),
        "{}",
        result.errors
    );
}

#[test]
#[ignore = "just test-azure"]
fn the_secondary_copy_can_be_listed() {
    let bench = Bench::azurite();
    bench.handle(&batch());
    let result = bench.run(&["list", "--secondary"]).assert_exit_code(0);
    assert_eq!(result.output.lines().count(), 1 + 3, "{}", result.output);
    assert_eq!(bench.dequeue_counts(), [0; 3]);
    let refused = Bench::local().run(&["list", "--secondary"]).assert_exit_code(2);
    assert!(refused.errors.contains("a state file has no copy in another region"), "{}", refused.errors);
}

#[test]
#[ignore = "just test-azure"]
fn the_list_shows_when_messages_expire() {
    let bench = Bench::azurite();
    let reply = bench.handle(&batch());
    let output = bench.run(&["list"]).assert_exit_code(0);
    assert!(!output.errors.contains("expires at"), "{}", output.errors);
    bench.put_expiring(reply.dead_letters[0].to_string());
    bench.put_expiring("{}");
    for options in [&["list"][..], &["list", "--peek"], &["list", "--group-by", "issue"]] {
        let output = bench.run(options).assert_exit_code(0);
        assert!(output.errors.contains("The first one expires at 20"), "{}", output.errors);
        assert!(output.errors.contains("run `dead-letters export`"), "{}", output.errors);
    }
}

#[test]
fn a_long_issue_is_listed_to_its_end() {
    let bench = Bench::local();
    let event = Event::json(1, &json!({"deviceId": "drone-1", "flightMode": "n".repeat(100)}));
    let reply = bench.handle(&Batch::of([event]));
    let issue = reply.dead_letter()["Issue"].as_str().expect("text").to_owned();
    assert!(issue.chars().count() > 100, "{issue}");
    let output = bench.run(&["list"]).assert_exit_code(0);
    assert!(output.output.contains(&issue), "{}", output.output);
    #[cfg(target_os = "linux")]
    {
        let (code, said) = crate::run_on_terminal(&bench, &["list"], "");
        let end: String = issue.chars().skip(issue.chars().count() - 20).collect();
        let is_end = |line: &str| line.trim_end().ends_with(&end) && line.starts_with("    ");
        assert!(code == Some(0) && said.lines().any(is_end), "{said}");
    }
}
