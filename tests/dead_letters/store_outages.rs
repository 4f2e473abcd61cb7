//! A replay while the store is down changes nothing.

use std::time::Duration;

use devicestate_test_storage::bench::{Bench, untyped_event};
use devicestate_test_support::{Batch, Fold, listener::Fault};
use serde_json::json;

use crate::on_both_queues;

on_both_queues![with_an_account: a_replay_while_the_store_is_down_changes_nothing];

fn a_replay_while_the_store_is_down_changes_nothing(bench: &Bench) {
    let event = |number: i64| untyped_event(number, &json!({"deviceId": format!("drone-{number}"), "battery": 0.5}));
    let batch = Batch::of((1..=20).map(event).collect::<Vec<_>>());
    bench.put_misread(&batch);
    let visible = || {
        let mut visible = bench.visible();
        visible.sort();
        visible
    };
    let before = visible();
    assert_eq!(before.len(), 20);
    let account = bench.account();
    let outages: [(&str, Option<Fault>); 4] = [
        ("down", None),
        ("the key is wrong", Some(Fault::status(401).on(&["all"]))),
        ("throttled", Some(Fault::status(429).retry_after(Duration::from_secs(5)))),
        ("unavailable", Some(Fault::status(503).on(&["all"]))),
    ];
    for (name, fault) in outages {
        let is_down = fault.is_none();
        let fault = fault.map(|fault| account.fault(fault));
        if is_down {
            account.down();
        }
        for words in [&["replay"][..], &["replay", "--yes"]] {
            let mut command = bench.command(&[words, &["--output", "json"]].concat());
            let output = command.env("InvocationBudget", "00:00:01").output().expect("the binary");
            let result = devicestate_test_storage::bench::CommandOutput::from(output).assert_exit_code(2);
            assert_eq!(result.output, "", "{name}: with exit code 2 nothing was replayed, and there is no result");
            assert!(result.errors.contains("the other dead letters are unchanged"), "{name}: {}", result.errors);
            assert_eq!(visible(), before, "{name}: all are visible and unchanged");
        }
        if is_down {
            account.up();
        }
        if let Some(number) = fault {
            account.end(number);
        }
        assert_eq!(account.documents().len(), 0, "{name}");
    }
    bench.json(&["replay", "--yes"], 0);
    assert_eq!((bench.count(), account.documents()), (0, Fold::from_batches([&batch]).documents()));
}
