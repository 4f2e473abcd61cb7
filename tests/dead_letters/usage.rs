//! Help texts, and errors of the command line and the settings.

use std::{fs, process::Command};

use devicestate_test_storage::{
    azurite::{SETTING, SHARED, WRONG_KEY, connection_string},
    bench::{Bench, CommandOutput},
};
use devicestate_test_support::App;

use crate::on_both_queues;

on_both_queues![a_replay_needs_a_store_that_it_can_read, invalid_options_are_reported];

fn run(command: &mut Command) -> CommandOutput {
    CommandOutput::from(command.output().expect("the binary runs"))
}

#[track_caller]
fn assert_contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

#[test]
fn each_help_has_a_description_and_examples() {
    let app = App::shipped();
    let help = |words: &[&str]| {
        let result = run(app.tool().arg("dead-letters").args(words).arg("--help")).assert_exit_code(0);
        assert!(result.output.lines().all(|line| line.chars().count() <= 100), "{}", result.output);
        let examples = result.output.lines().filter(|line| line.trim_start().starts_with("devicestate "));
        assert!(examples.clone().all(|line| line.chars().count() <= 80), "{}", result.output);
        result.output
    };
    let top = help(&[]);
    assert_contains(
        &top,
        &["Examples:", "Exit codes: 0 succeeded; 1 ", "DeadLetterStorage__queueServiceUri", "--state"],
    );
    for (command, words) in [
        ("list", ["--group-by", "--peek", "Selection:"]),
        ("show", ["the stored document", "-o json", "StateStore"]),
        ("replay", ["without --yes it is", "--rate", "Selection:"]),
        ("edit", ["$VISUAL or $EDITOR", "--file", "--yes"]),
        ("discard", ["without --yes it", "--all", "--message"]),
        ("export", ["leave them in the queue", "--file", "Selection:"]),
        ("import", ["that `export` wrote", "stays until it is deleted", "- for standard input"]),
    ] {
        assert_contains(&top, &[command]);
        let text = help(&[command]);
        // The width of the terminal decides where a line ends.
        assert_contains(&text.split_whitespace().collect::<Vec<_>>().join(" "), &words);
        assert_contains(&text, &["Examples:", "Connection:", &format!("devicestate dead-letters {command}")]);
    }
}

#[test]
fn missing_settings_are_named_with_an_alternative() {
    let app = App::shipped().without("StateStore").without("SqlitePath");
    for words in [&["list"][..], &["show", "0af1c2d4"], &["replay"], &["discard", "--all"], &["export"]] {
        let result = run(app.tool().arg("dead-letters").args(words)).assert_exit_code(2);
        assert_contains(&result.errors, &["DeadLetterStorage", "DeadLetterStorage__queueServiceUri", "--state FILE"]);
    }
}

#[test]
fn a_missing_or_foreign_state_file_is_reported_and_not_created() {
    let app = App::shipped();
    let list = |name: &str| run(app.tool().args(["dead-letters", "list", "--state", name])).assert_exit_code(2).errors;
    assert_contains(&list("missing.db"), &["the state file missing.db", "check the path"]);
    assert!(!app.path("missing.db").exists());
    fs::write(app.path("other.txt"), "a text").expect("a file");
    assert_contains(&list("other.txt"), &["the state file other.txt: it is not an SQLite database"]);
    let other = rusqlite::Connection::open(app.path("other.db")).expect("a database");
    other.execute_batch("CREATE TABLE dead_letters (x)").expect("a table");
    assert_contains(&list("other.db"), &["the state file other.db: it is a database of another program"]);
}

#[test]
#[ignore = "just test-azure"]
fn a_missing_queue_is_reported() {
    let bench = Bench::azurite();
    for words in
        [&["list"][..], &["list", "--peek"], &["replay"], &["discard", "--all", "--yes"], &["show", "0af1c2d4"]]
    {
        let result = bench.run(&[words, &["--queue", "no-such-queue"]].concat()).assert_exit_code(2);
        assert_contains(
            &result.errors,
            &["the queue no-such-queue at 127.0.0.1", "does not exist", "first dead letter", "DeadLetterStorage"],
        );
    }
}

#[test]
#[ignore = "just test-azure"]
fn a_wrong_key_is_reported_without_the_secret() {
    let bench = Bench::azurite();
    let wrong = connection_string([SHARED.blob_port, SHARED.queue_port], &format!("AccountKey={WRONG_KEY}"));
    for words in [&["list"][..], &["list", "--peek", "--output", "json"], &["export"], &["discard", "--all", "--yes"]] {
        let result = run(bench.command(words).env(SETTING, &wrong)).assert_exit_code(2);
        assert_contains(&result.errors, &["DeadLetterStorage", "key"]);
        assert!(
            !result.errors.contains(&WRONG_KEY[..12]) && result.output.is_empty(),
            "{}{}",
            result.output,
            result.errors
        );
    }
}

fn a_replay_needs_a_store_that_it_can_read(bench: &Bench) {
    for words in [&["replay"][..], &["replay", "--yes"]] {
        let result = run(bench.command(words).env("StateStore", "memory")).assert_exit_code(2);
        assert_contains(&result.errors, &["StateStore is memory: only the handler itself can read its documents"]);
    }
    run(bench.command(&["list"]).env("StateStore", "memory")).assert_exit_code(0);
    if !bench.is_local() {
        let result = run(bench.command(&["replay"]).env_remove("StateStore")).assert_exit_code(2);
        assert_contains(&result.errors, &["StateStore"]);
    }
}

fn invalid_options_are_reported(bench: &Bench) {
    for (words, expected) in [
        (&["list", "--issue", "("][..], "found open group without closing"),
        (&["list", "--stage", "decode"], "expected envelope, deserialize, validate or update"),
        (&["list", "--since", "yesterday"], "expected a time such as"),
        (&["list", "--sequence-numbers", "9..1"], "expected a number or a range such as 100..200"),
        (&["list", "1234567"], "expected at least the first 8 of the 32 hexadecimal digits of an id"),
        (&["list", "--group-by", "color"], "possible values: issue, device, stage, partition"),
        (&["replay", "--rate", "0/s"], "expected an integer of at least 1, such as 100/s"),
        (&["show"], "<ID>"),
        (&["import"], "--file <FILE>"),
    ] {
        assert_contains(&bench.run(words).assert_exit_code(2).errors, &[expected]);
    }
}
