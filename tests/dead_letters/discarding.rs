//! Dead letters that nobody needs, and a copy of them beforehand.

use std::{fs, io::Write as _, process::Stdio};

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![
    nothing_is_discarded_unless_it_is_said_which_and_yes,
    what_is_meant_is_discarded_and_leaves_a_line_each,
    a_message_that_is_no_dead_letter_is_discarded_by_its_own_id_only,
    an_export_leaves_all_as_it_was_and_an_import_puts_it_back,
    an_export_takes_what_the_filter_means_and_overwrites_nothing,
    lines_that_are_no_export_are_told_by_their_numbers_and_the_rest_is_imported,
];

fn put_three(bench: &Bench) -> Vec<String> {
    let event = |number: i64, device: &str| Event::json(number, &json!({"deviceId": device, "flightMode": 99}));
    let reply =
        bench.handle_with_device_ids(&Batch::of([event(1, "drone-1"), event(2, "drone-1"), event(3, "drone-2")]));
    reply.dead_letters.iter().map(|letter| letter["Id"].as_str().expect("an id").to_owned()).collect()
}

fn nothing_is_discarded_unless_it_is_said_which_and_yes(bench: &Bench) {
    put_three(bench);
    for options in [&["discard"][..], &["discard", "--yes"]] {
        let (lines, said) = bench.run_audited(options, 2);
        assert!(said.errors.contains("say which: by id, by a filter such as --device, or --all"), "{}", said.errors);
        assert!(lines.is_empty());
    }
    let (lines, said) = bench.run_audited(&["discard", "--all"], 0);
    assert_eq!(said.output, "3 messages would be discarded; with --yes it is done\n");
    assert!(lines.is_empty());
    let tried = bench.json(&["discard", "--seq", "1"], 0);
    assert_eq!(tried, json!({"Discarded": 0, "Meant": 1, "DryRun": true}));
    assert_eq!((bench.count(), bench.visible().len()), (3, 3));
}

fn what_is_meant_is_discarded_and_leaves_a_line_each(bench: &Bench) {
    let ids = put_three(bench);
    let (lines, said) = bench.run_audited(&["discard", "--device", "drone-1", "--seq", "..1", "--yes"], 0);
    assert_eq!(said.output, "1 message discarded\n");
    assert_eq!(lines.len(), 1);
    for (name, expected) in
        [("Who", "a tester"), ("Action", "discard"), ("Outcome", "discarded"), ("Id", &ids[0]), ("DeviceId", "drone-1")]
    {
        assert_eq!(lines[0][name], expected, "{}", lines[0]);
    }
    assert!(lines[0]["Queue"].as_str().is_some_and(|queue| queue.len() > 10), "{}", lines[0]);
    assert!(lines[0]["MessageId"].is_string() && lines[0]["Time"].is_string(), "{}", lines[0]);
    let (lines, _) = bench.run_audited(&["discard", &ids[2][..12], "--yes"], 0);
    assert_eq!(lines[0]["Id"], *ids[2]);
    assert_eq!(bench.json(&["list"], 0)[0]["Id"], *ids[1]);
    bench.run_audited(&["discard", "--all", "--yes"], 0);
    assert_eq!(bench.count(), 0);
}

fn a_message_that_is_no_dead_letter_is_discarded_by_its_own_id_only(bench: &Bench) {
    bench.put("hello");
    bench.run_audited(&["discard", "--all", "--yes"], 0);
    assert_eq!(bench.count(), 1);
    let message = bench.json(&["list"], 0)[0]["MessageId"].as_str().expect("an id").to_owned();
    let (lines, _) = bench.run_audited(&["discard", "--message", &message, "--yes"], 0);
    assert_eq!((lines.len(), &lines[0]["MessageId"]), (1, &json!(message)));
    assert_eq!(bench.count(), 0);
}

fn an_export_leaves_all_as_it_was_and_an_import_puts_it_back(bench: &Bench) {
    let ids = put_three(bench);
    bench.put("hello");
    let before = bench.visible();
    let file = bench.app.path("kept.jsonl");
    let file = file.to_str().expect("a path of text");
    let (lines, said) = bench.run_audited(&["export", "-o", file], 0);
    assert!(said.errors.contains("4 messages exported, and still in the queue."), "{}", said.errors);
    assert_eq!(lines.iter().filter(|line| line["Outcome"] == "exported").count(), 4);
    assert_eq!(bench.visible().len(), 4);
    bench.run_audited(&["discard", "--all", "--yes"], 0);

    let (lines, said) = bench.run_audited(&["import", file], 0);
    assert!(said.errors.contains("4 messages imported."), "{}", said.errors);
    let imported: Vec<_> = lines.iter().filter_map(|line| line["Id"].as_str()).collect();
    assert!(ids.iter().all(|id| imported.contains(&id.as_str())), "{lines:?}");
    let sorted = |mut messages: Vec<Vec<u8>>| {
        messages.sort();
        messages
    };
    let mut expected = before;
    expected.push(b"hello".to_vec());
    assert_eq!(sorted(bench.visible()), sorted(expected), "byte for byte, beside the one that was not discarded");
}

fn an_export_takes_what_the_filter_means_and_overwrites_nothing(bench: &Bench) {
    let ids = put_three(bench);
    let (_, said) = bench.run_audited(&["export", "--device", "drone-2"], 0);
    let line: Value = serde_json::from_str(&said.output).expect("one line alone on standard output");
    assert_eq!(line["Message"]["Id"], *ids[2]);
    let file = bench.app.path("precious");
    fs::write(&file, "the last copy").expect("a file");
    let (_, said) = bench.run_audited(&["export", "-o", file.to_str().expect("text")], 2);
    assert!(said.errors.contains("precious: ") && said.errors.contains("exists"), "{}", said.errors);
    assert_eq!(fs::read_to_string(&file).expect("the file"), "the last copy");
}

fn lines_that_are_no_export_are_told_by_their_numbers_and_the_rest_is_imported(bench: &Bench) {
    put_three(bench);
    let (_, said) = bench.run_audited(&["export", "--seq", "1"], 0);
    let lines = format!("{}\nhello\n{{}}\n{}", said.output, said.output);
    let mut child = bench.command(&["import", "-"]).stdin(Stdio::piped()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for words in ["line 3: it is no export", "line 4: ", "2 messages imported.", "2 lines could not be imported"] {
        assert!(errors.contains(words), "{words:?} is not in {errors}");
    }
    assert_eq!(bench.count(), 5);
    let missing = bench.run(&["import", "nowhere.jsonl"]).assert_exit_code(2);
    assert!(missing.errors.contains("nowhere.jsonl: "), "{}", missing.errors);
}
