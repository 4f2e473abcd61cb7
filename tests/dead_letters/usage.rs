//! How the tools are asked, and what they say when they cannot begin.

use std::{fs, process::Command};

use devicestate_test_storage::{
    azurite::{SETTING, SHARED, WRONG_KEY, connection_string},
    bench::{Bench, CommandOutput},
};
use devicestate_test_support::App;

use crate::on_both_queues;

on_both_queues![a_replay_needs_documents_that_it_can_reach, options_that_make_no_sense_are_told];

fn said(command: &mut Command) -> CommandOutput {
    CommandOutput::from(command.output().expect("the binary runs"))
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

#[test]
fn each_command_says_what_it_does_and_shows_examples() {
    let app = App::shipped();
    let help = |words: &[&str]| {
        let said = said(app.tool().arg("dead-letters").args(words).arg("--help")).assert_exit_code(0);
        assert!(said.output.lines().all(|line| line.chars().count() <= 100), "{}", said.output);
        said.output
    };
    let top = help(&[]);
    assert_says(&top, &["Examples:", "Exit codes: 0 done; 1 ", "DeadLetterStorage__queueServiceUri", "--state"]);
    for (command, words) in [
        ("list", ["--group-by", "--peek", "Which dead letters:"]),
        ("show", ["what is stored for its device now", "--format json", "StateStore"]),
        ("replay", ["a dry run without --yes", "--rate", "Which dead letters:"]),
        ("edit", ["$VISUAL or $EDITOR", "--from", "--yes"]),
        ("discard", ["a dry run without --yes", "--all", "--message"]),
        ("export", ["leave them where they are", "--output", "Which dead letters:"]),
        ("import", ["that `export` wrote", "stays until somebody deletes it", "- for standard input"]),
    ] {
        assert_says(&top, &[command]);
        let text = help(&[command]);
        assert_says(&text, &words);
        assert_says(&text, &["Examples:", "Where:", &format!("devicestate dead-letters {command}")]);
    }
}

#[test]
fn without_any_settings_it_says_which_one_and_the_way_around() {
    let app = App::shipped().without("StateStore").without("SqlitePath");
    for words in [&["list"][..], &["show", "0af1c2d4"], &["replay"], &["discard", "--all"], &["export"]] {
        let said = said(app.tool().arg("dead-letters").args(words)).assert_exit_code(2);
        assert_says(&said.errors, &["DeadLetterStorage", "DeadLetterStorage__queueServiceUri", "--state PATH"]);
    }
}

#[test]
fn a_state_file_that_is_missing_or_somebody_elses_is_told_and_never_made() {
    let app = App::shipped();
    let list = |name: &str| said(app.tool().args(["dead-letters", "list", "--state", name])).assert_exit_code(2).errors;
    assert_says(&list("missing.db"), &["the state file missing.db", "check the path"]);
    assert!(!app.path("missing.db").exists());
    fs::write(app.path("other.txt"), "a text").expect("a file");
    assert_says(&list("other.txt"), &["the state file other.txt: it is not an SQLite database"]);
    let other = rusqlite::Connection::open(app.path("other.db")).expect("a database");
    other.execute_batch("CREATE TABLE dead_letters (x)").expect("a table");
    assert_says(&list("other.db"), &["the state file other.db: it is a database of another program"]);
}

#[test]
#[ignore = "just test-azure"]
fn a_queue_that_does_not_exist_is_told() {
    let bench = Bench::azurite();
    for words in
        [&["list"][..], &["list", "--peek"], &["replay"], &["discard", "--all", "--yes"], &["show", "0af1c2d4"]]
    {
        let said = bench.run(&[words, &["--queue", "no-such-queue"]].concat()).assert_exit_code(2);
        assert_says(&said.errors, &["the queue no-such-queue at 127.0.0.1", "does not exist", "DeadLetterStorage"]);
    }
}

#[test]
#[ignore = "just test-azure"]
fn a_wrong_key_is_told_and_no_secret_is() {
    let bench = Bench::azurite();
    let wrong = connection_string([SHARED.blob_port, SHARED.queue_port], &format!("AccountKey={WRONG_KEY}"));
    for words in [&["list"][..], &["list", "--peek", "--format", "json"], &["export"], &["discard", "--all", "--yes"]] {
        let said = said(bench.command(words).env(SETTING, &wrong)).assert_exit_code(2);
        assert_says(&said.errors, &["DeadLetterStorage", "key"]);
        assert!(!said.errors.contains(&WRONG_KEY[..12]) && said.output.is_empty(), "{}{}", said.output, said.errors);
    }
}

fn a_replay_needs_documents_that_it_can_reach(bench: &Bench) {
    for words in [&["replay"][..], &["replay", "--yes"]] {
        let said = said(bench.command(words).env("StateStore", "memory")).assert_exit_code(2);
        assert_says(&said.errors, &["StateStore is memory: only the handler itself can see its documents"]);
    }
    said(bench.command(&["list"]).env("StateStore", "memory")).assert_exit_code(0);
    if !bench.is_local() {
        let said = said(bench.command(&["replay"]).env_remove("StateStore")).assert_exit_code(2);
        assert_says(&said.errors, &["StateStore"]);
    }
}

fn options_that_make_no_sense_are_told(bench: &Bench) {
    for (words, told) in [
        (&["list", "--issue", "("][..], "found open group without closing"),
        (&["list", "--stage", "decode"], "it must be envelope, deserialize, validate or update"),
        (&["list", "--since", "yesterday"], "it must be a time such as"),
        (&["list", "--seq", "9..1"], "it must be one number or a range such as 100..200"),
        (&["list", "1234567"], "an id has 32 hexadecimal digits, of which the first 8 may do"),
        (&["list", "--group-by", "color"], "possible values: issue, device, stage, partition"),
        (&["replay", "--rate", "0/s"], "it must be a number from 1 on, such as 100/s"),
        (&["show"], "<ID>"),
        (&["import"], "<FILE>"),
    ] {
        assert_says(&bench.run(words).assert_exit_code(2).errors, &[told]);
    }
}
