//! Ctrl-C and SIGTERM while a command runs.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::mpsc,
    thread,
    time::Duration,
};

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Fold, pause};

use crate::{
    faulty_bench::{ALWAYS, FaultKind, FaultyBench, Operation, audit_lines, put_dead_letters},
    large_dead_letters::put_large_dead_letters,
};

/// Longer than the test takes.
const LONG_TIMEOUT: [&str; 2] = ["--visibility-timeout", "604800"];

fn spawn(bench: &Bench, words: &[&str]) -> Child {
    bench.command(&[words, &LONG_TIMEOUT].concat()).spawn().expect("the binary")
}

fn send_signal(name: &str, child: &Child) {
    let sent = Command::new("sh").args(["-c", "kill $0 $1", name, &child.id().to_string()]).status();
    assert!(sent.expect("a shell").success());
}

/// Returns the lines of standard error.
fn stderr_lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    receiver
}

#[track_caller]
fn wait_for_line(stderr: &mpsc::Receiver<String>, words: &str) -> String {
    loop {
        let line = stderr.recv_timeout(Duration::from_mins(1)).expect("the line");
        if line.contains(words) {
            return line;
        }
    }
}

/// Waits for the end of the process; fails the test after a minute. Returns its status and standard output.
#[track_caller]
fn wait_for_end(mut child: Child) -> (ExitStatus, String) {
    for _ in 0..3_000 {
        if let Some(status) = child.try_wait().expect("a child of this process") {
            let mut output = String::new();
            child.stdout.take().expect("a pipe").read_to_string(&mut output).expect("text");
            return (status, output);
        }
        pause(Duration::from_millis(20));
    }
    child.kill().expect("a child of this process");
    panic!("the process did not end within a minute");
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if condition() {
            return;
        }
        pause(Duration::from_millis(5));
    }
    panic!("timeout: {what}");
}

/// Locks the audit trail, as another command does while it writes.
fn lock(trail: &Path) -> File {
    let file = File::options().create(true).append(true).open(trail).expect("a file");
    file.lock().expect("a lock");
    file
}

#[test]
fn a_command_that_waits_for_the_audit_trail_says_so_and_continues() {
    let faulty = FaultyBench::local();
    put_dead_letters(&faulty, 3);
    let trail = faulty.app.path("trail.jsonl");
    let held = lock(&trail);
    let mut child = spawn(&faulty, &["discard", "--all", "--yes", "--audit", trail.to_str().expect("text")]);
    let stderr = stderr_lines(&mut child);
    let line = wait_for_line(&stderr, "Waiting for the audit trail");
    assert!(line.contains("trail.jsonl") && line.contains("holds its lock"), "{line}");
    if cfg!(target_os = "linux") {
        assert!(line.contains(&format!("process {} (", std::process::id())), "{line}");
    }
    drop(held);
    let (status, _) = wait_for_end(child);
    assert_eq!((status.code(), faulty.count(), audit_lines(&trail).len()), (Some(0), 0, 3));
    assert!(!stderr.iter().any(|line| line.contains("Waiting")), "it says so once");
}

#[test]
fn a_signal_ends_the_wait_for_the_audit_trail_and_releases_every_message() {
    let runs = [("-INT", 130, &["discard", "--all", "--yes"][..]), ("-TERM", 143, &["replay", "--yes"])];
    for (name, code, words) in runs {
        let faulty = FaultyBench::local();
        put_dead_letters(&faulty, 3);
        let trail = faulty.app.path("trail.jsonl");
        let _held = lock(&trail);
        let mut child = spawn(&faulty, &[words, &["--audit", trail.to_str().expect("text")]].concat());
        let stderr = stderr_lines(&mut child);
        wait_for_line(&stderr, "Waiting for the audit trail");
        send_signal(name, &child);
        wait_for_line(&stderr, "stopped while another process held the lock");
        let (status, _) = wait_for_end(child);
        assert_eq!((status.code(), audit_lines(&trail).len(), faulty.documents().len()), (Some(code), 0, 0));
        faulty.assert_all_visible(3);
    }
}

/// A named pipe takes the place of a large dead letter, so the signal arrives while the command reads it.
#[cfg(unix)]
#[test]
fn a_signal_ends_the_read_of_a_large_dead_letter() {
    for (words, name, code) in [("show", "-INT", 130), ("edit", "-TERM", 143)] {
        let mut faulty = FaultyBench::local();
        put_large_dead_letters(&mut faulty, 1);
        let listed = faulty.json(&["list"], 0);
        let [id, file] = ["id", "overflow"].map(|name| listed[0][name].as_str().expect("text").to_owned());
        std::fs::remove_file(&file).expect("the large dead letter");
        assert!(Command::new("mkfifo").arg(&file).status().expect("mkfifo").success());
        let mut child = faulty.command(&[words, &id]).spawn().expect("the binary");
        let stderr = stderr_lines(&mut child);
        // It opens when the command does.
        let _pipe = File::options().write(true).open(&file).expect("a pipe");
        send_signal(name, &child);
        wait_for_line(&stderr, "stopped: nothing was changed");
        let (status, output) = wait_for_end(child);
        assert_eq!((status.code(), &*output), (Some(code), ""), "{words}");
        faulty.assert_all_visible(1);
    }
}

/// The storage service holds requests, so the signal arrives while the command runs.
#[test]
#[ignore = "just test-azure"]
fn a_stopped_list_releases_every_message() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let faulty = FaultyBench::azurite();
        put_dead_letters(&faulty, 300);
        faulty.fail(Operation::Receive, 5, ALWAYS, FaultKind::Held);
        let mut child = spawn(&faulty, &["list"]);
        let stderr = stderr_lines(&mut child);
        faulty.wait_until_held();
        send_signal(name, &child);
        wait_for_line(&stderr, "Ctrl-C again");
        faulty.repair();
        wait_for_line(&stderr, "stopped before the end");
        let (status, _) = wait_for_end(child);
        assert_eq!(status.code(), Some(code));
        faulty.assert_all_visible(300);
    }
}

#[test]
fn a_stopped_list_of_a_state_file_releases_every_message() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let faulty = FaultyBench::local();
        put_dead_letters(&faulty, 2);
        faulty.sql(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50000)
             INSERT INTO dead_letters (inserted_ms, text) SELECT 0, (SELECT text FROM dead_letters LIMIT 1) FROM n",
        );
        let mut child = spawn(&faulty, &["list"]);
        let stderr = stderr_lines(&mut child);
        wait_until("some are hidden", || {
            faulty.query_count("SELECT count(*) FROM dead_letters WHERE visible_ms > 0") > 0
        });
        send_signal(name, &child);
        wait_for_line(&stderr, "stopped before the end");
        let (status, _) = wait_for_end(child);
        assert_eq!(status.code(), Some(code));
        faulty.assert_all_visible(50_002);
    }
}

#[test]
#[ignore = "just test-azure"]
fn a_stopped_replay_keeps_its_results_and_releases_the_other_messages() {
    for faulty in [FaultyBench::local(), FaultyBench::azurite()] {
        let batch = put_dead_letters(&faulty, 12);
        let audit_file = faulty.app.path("trail.jsonl");
        let audit = audit_file.to_str().expect("text");
        let mut child = spawn(&faulty, &["replay", "--yes", "--rate", "2/s", "--audit", audit]);
        let stderr = stderr_lines(&mut child);
        wait_until("some are done", || !audit_lines(&audit_file).is_empty());
        send_signal("-INT", &child);
        wait_for_line(&stderr, "stopped before the end");
        let (status, output) = wait_for_end(child);
        assert_eq!(status.code(), Some(130));
        let left = faulty.count();
        let done = 12 - left;
        assert!((1..12).contains(&done), "{done}");
        assert_eq!(audit_lines(&audit_file).len() as u64, done);
        assert!(output.contains("replayed"), "the result is printed: {output}");
        faulty.assert_all_visible(left);
        faulty.run(&["replay", "--yes"]).assert_exit_code(0);
        assert_eq!(faulty.documents(), Fold::from_batches([&batch]).documents());
    }
}

#[test]
#[ignore = "just test-azure"]
fn a_second_signal_stops_immediately() {
    let faulty = FaultyBench::azurite();
    put_dead_letters(&faulty, 40);
    faulty.fail(Operation::Update, 0, ALWAYS, FaultKind::Held);
    let mut child = spawn(&faulty, &["list"]);
    let stderr = stderr_lines(&mut child);
    faulty.wait_until_held();
    send_signal("-INT", &child);
    wait_for_line(&stderr, "Ctrl-C again");
    send_signal("-INT", &child);
    wait_for_line(&stderr, "stopped immediately");
    let (status, _) = wait_for_end(child);
    assert_eq!(status.code(), Some(130));
    faulty.repair();
    assert_eq!(faulty.count(), 40, "hidden for a while, and not lost");
}
