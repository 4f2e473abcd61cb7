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
fn run_audited(path: &Path) -> Vec<AuditLine> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a killed replay is seen to have done.
enum Seen {
    /// It runs.
    Nothing,
    /// A line of the audit trail.
    Lines,
    /// So many messages fewer.
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
        Seen::Nothing,
        Seen::Lines,
        Seen::Deleted(1),
        Seen::Lines,
        Seen::Deleted(20),
        Seen::Lines,
        Seen::Deleted(41),
        Seen::Deleted(1),
    ] {
        let (lines, before) = (run_audited(&audit).len(), count());
        let mut tool = bench.command(&words).spawn().expect("the binary");
        let is_there = || match wait_until {
            Seen::Nothing => true,
            Seen::Lines => run_audited(&audit).len() > lines,
            Seen::Deleted(messages) => count() + messages <= before,
        };
        let started = Instant::now();
        while !is_there() && tool.try_wait().expect("a child of this process").is_none() {
            assert!(started.elapsed() < Duration::from_mins(1), "it gets nowhere");
        }
        kills += u64::from(tool.try_wait().expect("a child of this process").is_none());
        tool.kill().expect("a child of this process");
        tool.wait().expect("a child of this process");
    }
    assert!(kills >= 4, "it was killed in the middle: {kills}");
    assert!(count() > 0, "there is something left to do");
    let started = Instant::now();
    while count() > 0 {
        // What a killed one held is hidden for a second still.
        bench.run(&["replay", "--yes", "--audit", &audit_text]).assert_exit_code(0);
        assert!(started.elapsed() < Duration::from_mins(1), "it never ends");
        pause(Duration::from_millis(50));
    }
    assert_eq!(bench.documents(), Fold::from_batches([&batch()]).documents());
    let done = run_audited(&audit);
    assert!(done.iter().all(|line| matches!(line.outcome, Outcome::Applied | Outcome::Superseded)));
    let recorded: HashSet<_> = done.iter().filter_map(|line| line.id.as_deref()).collect();
    let ids: HashSet<_> = dead_letters.iter().filter_map(|letter| letter["Id"].as_str()).collect();
    assert_eq!((recorded, ids.len() as u64), (ids, LETTERS), "each has a line with its outcome");
}
