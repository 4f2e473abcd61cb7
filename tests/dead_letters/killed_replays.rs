//! A replay that is killed while it runs, and repeated.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use devicestate_dead_letters::{AuditLine, Outcome};
use devicestate_test_storage::bench::{Bench, untyped_event};
use devicestate_test_support::{Batch, Fold, pause};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![a_replay_killed_repeatedly_loses_nothing_and_applies_nothing_twice];

const LETTERS: u64 = 400;

fn batch() -> Batch {
    let event = |number: i64| {
        let (device, level) = (format!("drone-{}", number % 40), format!("{number}.5"));
        let level: Value = level.parse().expect("a number");
        match number / 40 % 2 {
            0 => untyped_event(number, &json!({"deviceId": device, "battery": level})),
            _ => untyped_event(number, &json!({"deviceId": device, "position": {"altitude": level}})),
        }
    };
    Batch::of((0..LETTERS.cast_signed()).map(event).collect::<Vec<_>>())
}

/// Returns the complete lines; a kill may leave a part of one.
fn read_audit_lines(path: &Path) -> Vec<AuditLine> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The progress of a replay after which it is killed.
enum Progress {
    /// It was started.
    Nothing,
    /// It wrote a line of the audit trail.
    Lines,
    /// It deleted at least this many messages.
    Deleted(u64),
}

fn a_replay_killed_repeatedly_loses_nothing_and_applies_nothing_twice(bench: &Bench) {
    let dead_letters = bench.put_misread(&batch());
    let audit = bench.app.path("own-audit.jsonl");
    let audit_text = audit.display().to_string();
    let queue = bench.queue();
    let count = || bench.wait_for(queue.count()).expect("counted");
    let words = ["replay", "--yes", "--visibility-timeout", "1", "--rate", "40/s", "--audit", &audit_text];
    let mut kills = 0;
    for wait_until in [
        Progress::Nothing,
        Progress::Lines,
        Progress::Deleted(1),
        Progress::Lines,
        Progress::Deleted(20),
        Progress::Lines,
        Progress::Deleted(41),
        Progress::Deleted(1),
    ] {
        let (lines, before) = (read_audit_lines(&audit).len(), count());
        let mut tool = bench.command(&words).spawn().expect("the binary");
        let is_reached = || match wait_until {
            Progress::Nothing => true,
            Progress::Lines => read_audit_lines(&audit).len() > lines,
            Progress::Deleted(messages) => count() + messages <= before,
        };
        let started = Instant::now();
        while !is_reached() && tool.try_wait().expect("a child of this process").is_none() {
            assert!(started.elapsed() < Duration::from_mins(1), "no progress within a minute");
        }
        kills += u64::from(tool.try_wait().expect("a child of this process").is_none());
        tool.kill().expect("a child of this process");
        tool.wait().expect("a child of this process");
    }
    assert!(kills >= 4, "replays that were killed before their end: {kills}");
    assert!(count() > 0, "some dead letters are left");
    let started = Instant::now();
    while count() > 0 {
        // Messages that a killed replay had received stay hidden for a second.
        bench.run(&["replay", "--yes", "--audit", &audit_text]).assert_exit_code(0);
        assert!(started.elapsed() < Duration::from_mins(1), "not completed within a minute");
        pause(Duration::from_millis(50));
    }
    assert_eq!(bench.documents(), Fold::from_batches([&batch()]).documents());
    let done = read_audit_lines(&audit);
    assert!(done.iter().all(|line| matches!(line.outcome, Outcome::Applied | Outcome::Superseded)));
    let recorded: HashSet<_> = done.iter().filter_map(|line| line.id.as_deref()).collect();
    let ids: HashSet<_> = dead_letters.iter().filter_map(|letter| letter["Id"].as_str()).collect();
    assert_eq!((recorded, ids.len() as u64), (ids, LETTERS), "each has a line with its outcome");
}
