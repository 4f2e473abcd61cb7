//! The command `discard`, and `export` and `import` to keep a copy before it.

use std::{fs, io::Write as _, process::Stdio};

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event};
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use crate::run_on_terminal;
use crate::{DRY_RUN, on_both_queues};

on_both_queues![
    discard_needs_a_selection_and_yes,
    discarded_dead_letters_leave_an_audit_line_each,
    a_foreign_message_is_discarded_only_by_its_message_id,
    an_export_leaves_messages_unchanged_and_an_import_restores_them,
    an_export_follows_the_filter_and_overwrites_no_file,
    an_import_names_invalid_lines_and_imports_the_others,
];

fn put_three_dead_letters(bench: &Bench) -> Vec<String> {
    let event = |number: i64, device: &str| Event::json(number, &json!({"deviceId": device, "flightMode": 99}));
    let reply =
        bench.handle_with_device_ids(&Batch::of([event(1, "drone-1"), event(2, "drone-1"), event(3, "drone-2")]));
    reply.dead_letters.iter().map(|letter| letter["Id"].as_str().expect("an id").to_owned()).collect()
}

fn discard_needs_a_selection_and_yes(bench: &Bench) {
    put_three_dead_letters(bench);
    for options in [&["discard"][..], &["discard", "--yes"]] {
        let (lines, result) = bench.run_audited(options, 2);
        assert!(
            result.errors.contains("no dead letters are selected: use ids, a filter such as --device, or --all"),
            "{}",
            result.errors
        );
        assert!(lines.is_empty());
    }
    let (lines, result) = bench.run_audited(&["discard", "--all"], 0);
    let expected = format!("\n3 messages would be discarded\n{DRY_RUN}\n");
    let causes = result.output.strip_suffix(&expected).unwrap_or_else(|| panic!("{}", result.output));
    let cause = causes.lines().nth(1).expect("a row");
    assert!(cause.starts_with("    3  ") && cause.contains("flight mode 99 is undefined"), "{causes}");
    let nothing = bench.run(&["discard", "--device", "drone-9"]).assert_exit_code(0);
    assert_eq!(nothing.output, "0 messages would be discarded\n");
    let nothing = bench.run(&["replay", "--device", "drone-9"]).assert_exit_code(0);
    assert!(!nothing.output.contains(DRY_RUN), "{}", nothing.output);
    assert!(lines.is_empty());
    let dry_run = bench.json(&["discard", "--sequence-numbers", "1"], 0);
    assert_eq!(dry_run, json!({"discarded": 0, "matched": 1, "dryRun": true}));
    assert_eq!((bench.count(), bench.visible().len()), (3, 3));
}

fn discarded_dead_letters_leave_an_audit_line_each(bench: &Bench) {
    let ids = put_three_dead_letters(bench);
    let (lines, result) =
        bench.run_audited(&["discard", "--device", "drone-1", "--sequence-numbers", "..1", "--yes"], 0);
    assert_eq!(result.output, "1 message discarded\n");
    assert_eq!(lines.len(), 1);
    for (name, expected) in [
        ("operator", "a tester"),
        ("action", "discard"),
        ("outcome", "discarded"),
        ("id", &ids[0]),
        ("deviceId", "drone-1"),
    ] {
        assert_eq!(lines[0][name], expected, "{}", lines[0]);
    }
    assert!(lines[0]["queue"].as_str().is_some_and(|queue| queue.len() > 10), "{}", lines[0]);
    assert!(lines[0]["messageId"].is_string() && lines[0]["time"].is_string(), "{}", lines[0]);
    let (lines, _) = bench.run_audited(&["discard", &ids[2][..12], "--yes"], 0);
    assert_eq!(lines[0]["id"], *ids[2]);
    assert_eq!(bench.json(&["list"], 0)[0]["id"], *ids[1]);
    bench.run_audited(&["discard", "--all", "--yes"], 0);
    assert_eq!(bench.count(), 0);
}

fn a_foreign_message_is_discarded_only_by_its_message_id(bench: &Bench) {
    bench.put("hello");
    bench.run_audited(&["discard", "--all", "--yes"], 0);
    assert_eq!(bench.count(), 1);
    let message = bench.json(&["list"], 0)[0]["messageId"].as_str().expect("an id").to_owned();
    let (lines, _) = bench.run_audited(&["discard", "--message", &message, "--yes"], 0);
    assert_eq!((lines.len(), &lines[0]["messageId"]), (1, &json!(message)));
    assert_eq!(bench.count(), 0);
}

fn an_export_leaves_messages_unchanged_and_an_import_restores_them(bench: &Bench) {
    let ids = put_three_dead_letters(bench);
    bench.put("hello");
    let before = bench.visible();
    let file = bench.app.path("kept.jsonl");
    let file = file.to_str().expect("a path of text");
    let (lines, result) = bench.run_audited(&["export", "--file", file], 0);
    assert!(result.errors.contains("4 messages exported; they stay in the queue."), "{}", result.errors);
    assert_eq!(lines.iter().filter(|line| line["outcome"] == "exported").count(), 4);
    assert_eq!(bench.visible().len(), 4);
    bench.run_audited(&["discard", "--all", "--yes"], 0);

    let (lines, result) = bench.run_audited(&["import", "--file", file], 0);
    assert!(result.errors.contains("4 messages imported."), "{}", result.errors);
    let imported: Vec<_> = lines.iter().filter_map(|line| line["id"].as_str()).collect();
    assert!(ids.iter().all(|id| imported.contains(&id.as_str())), "{lines:?}");
    let sorted = |mut messages: Vec<Vec<u8>>| {
        messages.sort();
        messages
    };
    let mut expected = before;
    expected.push(b"hello".to_vec());
    assert_eq!(
        sorted(bench.visible()),
        sorted(expected),
        "the imported messages are unchanged, and the foreign one was not discarded"
    );
}

fn an_export_follows_the_filter_and_overwrites_no_file(bench: &Bench) {
    let ids = put_three_dead_letters(bench);
    let (_, result) = bench.run_audited(&["export", "--device", "drone-2"], 0);
    let line: Value = serde_json::from_str(&result.output).expect("only the line on standard output");
    assert_eq!(line["message"]["Id"], *ids[2]);
    let file = bench.app.path("precious");
    fs::write(&file, "the last copy").expect("a file");
    let (_, output) = bench.run_audited(&["export", "--file", file.to_str().expect("text")], 2);
    assert!(output.errors.contains("precious exists") && output.errors.contains("--file"), "{}", output.errors);
    assert_eq!(fs::read_to_string(&file).expect("the file"), "the last copy");
}

fn an_import_names_invalid_lines_and_imports_the_others(bench: &Bench) {
    put_three_dead_letters(bench);
    let (_, result) = bench.run_audited(&["export", "--sequence-numbers", "1"], 0);
    let lines = format!("{}\nhello\n{{}}\n{}", result.output, result.output);
    let mut child = bench.command(&["import", "--file", "-"]).stdin(Stdio::piped()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for words in
        ["line 3: it is not a line of an export", "line 4: ", "2 messages imported.", "2 lines could not be imported"]
    {
        assert!(errors.contains(words), "{words:?} is not in {errors}");
    }
    assert_eq!(bench.count(), 5);
    let missing = bench.run(&["import", "--file", "nowhere.jsonl"]).assert_exit_code(2);
    assert!(missing.errors.contains("nowhere.jsonl cannot be read: "), "{}", missing.errors);
}

#[test]
#[cfg(target_os = "linux")]
fn discard_and_replay_on_a_terminal_ask_before_they_apply() {
    let bench = Bench::local();
    put_three_dead_letters(&bench);
    for words in [&["replay"][..], &["discard", "--all"]] {
        let (code, result) = run_on_terminal(&bench, words, "n");
        assert!(code == Some(0) && result.contains("[y/N]") && result.contains("Nothing changed."), "{result}");
        let (code, result) = run_on_terminal(&bench, &[words, &["--dry-run"]].concat(), "y");
        assert!(code == Some(0) && !result.contains("[y/N]") && result.contains(DRY_RUN), "{result}");
        assert_eq!(bench.count(), 3);
    }
    let (code, result) = run_on_terminal(&bench, &["replay", "--sequence-numbers", "1"], "y");
    assert!(code == Some(1) && result.contains("Replay 1 dead letter? [y/N]"), "{result}");
    assert!(result.contains("1 dead letter failed again and stays in the queue"), "{result}");
    let (code, result) = run_on_terminal(&bench, &["discard", "--device", "drone-1"], "yes");
    assert!(
        code == Some(0) && result.contains("Discard 2 messages? [y/N]") && result.contains("2 messages discarded"),
        "{result}"
    );
    assert_eq!(bench.count(), 1);
}
