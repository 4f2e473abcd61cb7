//! Ctrl-C, and the polite signal of a supervisor, in the middle.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, ExitStatus},
    sync::mpsc,
    thread,
    time::Duration,
};

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Fold, pause};

use crate::broken::{ALWAYS, Broken, How, Kind, fill, trail as lines_of};

/// Longer than all of this takes.
const HIDDEN: [&str; 2] = ["--visibility-timeout", "604800"];

fn spawn(bench: &Bench, words: &[&str]) -> Child {
    bench.command(&[words, &HIDDEN].concat()).spawn().expect("the binary")
}

fn signal(name: &str, child: &Child) {
    let sent = Command::new("sh").args(["-c", "kill $0 $1", name, &child.id().to_string()]).status();
    assert!(sent.expect("a shell").success());
}

/// What the tool says to standard error, line by line.
fn errors(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    receiver
}

#[track_caller]
fn until_said(said: &mpsc::Receiver<String>, words: &str) {
    while !said.recv_timeout(Duration::from_mins(1)).expect("it says so").contains(words) {}
}

/// How it ends, after a while of polling: one that does not end fails the test.
#[track_caller]
fn ended(mut child: Child) -> (ExitStatus, String) {
    for _ in 0..3_000 {
        if let Some(status) = child.try_wait().expect("a child of this process") {
            let mut output = String::new();
            child.stdout.take().expect("a pipe").read_to_string(&mut output).expect("text");
            return (status, output);
        }
        pause(Duration::from_millis(20));
    }
    child.kill().expect("a child of this process");
    panic!("it did not end");
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        pause(Duration::from_millis(5));
    }
    panic!("it never came to this: {what}");
}

/// In front of a storage service that waits, so that the signal comes in the middle for sure.
#[test]
#[ignore = "just test-azure"]
fn a_list_that_is_stopped_gives_everything_back() {
    for name in ["-INT", "-TERM"] {
        let broken = Broken::azurite();
        fill(&broken, 300);
        broken.fail(Kind::Receive, 5, ALWAYS, How::Held);
        let mut child = spawn(&broken, &["list"]);
        let said = errors(&mut child);
        broken.until_held();
        signal(name, &child);
        until_said(&said, "Ctrl-C again");
        broken.repair();
        until_said(&said, "stopped before the end");
        let (status, _) = ended(child);
        assert_eq!(status.code(), Some(1));
        broken.assert_all_visible(300);
    }
}

#[test]
fn a_list_of_a_state_file_that_is_stopped_gives_everything_back() {
    for name in ["-INT", "-TERM"] {
        let broken = Broken::local();
        fill(&broken, 2);
        broken.sql(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50000)
             INSERT INTO dead_letters (inserted_ms, text) SELECT 0, (SELECT text FROM dead_letters LIMIT 1) FROM n",
        );
        let mut child = spawn(&broken, &["list"]);
        let said = errors(&mut child);
        until("some are hidden", || broken.counted("SELECT count(*) FROM dead_letters WHERE visible_ms > 0") > 0);
        signal(name, &child);
        until_said(&said, "stopped before the end");
        let (status, _) = ended(child);
        assert_eq!(status.code(), Some(1));
        broken.assert_all_visible(50_002);
    }
}

#[test]
#[ignore = "just test-azure"]
fn a_replay_that_is_stopped_keeps_what_is_done_and_gives_back_the_rest() {
    for broken in [Broken::local(), Broken::azurite()] {
        let batch = fill(&broken, 12);
        let trail = broken.app.path("trail.jsonl");
        let audit = trail.to_str().expect("text");
        let mut child = spawn(&broken, &["replay", "--yes", "--rate", "2/s", "--audit", audit]);
        let said = errors(&mut child);
        until("some are done", || !lines_of(&trail).is_empty());
        signal("-INT", &child);
        until_said(&said, "stopped before the end");
        let (status, output) = ended(child);
        assert_eq!(status.code(), Some(1));
        let left = broken.count();
        let done = 12 - left;
        assert!((1..12).contains(&done), "{done}");
        assert_eq!(lines_of(&trail).len() as u64, done);
        assert!(output.contains("replayed"), "what was done is told: {output}");
        broken.assert_all_visible(left);
        broken.run(&["replay", "--yes"]).assert_exit_code(0);
        assert_eq!(broken.documents(), Fold::from_batches([&batch]).documents());
    }
}

#[test]
#[ignore = "just test-azure"]
fn a_second_one_stops_at_once() {
    let broken = Broken::azurite();
    fill(&broken, 40);
    broken.fail(Kind::Update, 0, ALWAYS, How::Held);
    let mut child = spawn(&broken, &["list"]);
    let said = errors(&mut child);
    broken.until_held();
    signal("-INT", &child);
    until_said(&said, "Ctrl-C again");
    signal("-INT", &child);
    until_said(&said, "stopped at once");
    let (status, _) = ended(child);
    assert_eq!(status.code(), Some(1));
    broken.repair();
    assert_eq!(broken.count(), 40, "hidden for a while, and not lost");
}
