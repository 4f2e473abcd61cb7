//! `--drill`: a region goes and comes back.

use std::process::{Child, Command, Output};

use devicestate_test_support::program::devicestate;
use serde_json::Value;

use crate::support::{Place, handlers, report, signal};

/// The verdict of a drill that ended with this exit code.
fn verdict(place: &Place, arguments: &[&str], code: i32) -> Value {
    let output = place.local(&[&["--drill"], arguments].concat()).output().expect("the binary");
    report(&output, code)
}

fn count(verdict: &Value, name: &str) -> u64 {
    verdict[name].as_u64().unwrap_or_else(|| panic!("no {name} in {verdict}"))
}

/// What the drill is about has happened in it.
fn assert_it_was_one(verdict: &Value) {
    for name in ["eventsOfFirst", "eventsOfStandby", "readingsLost"] {
        assert!(count(verdict, name) > 0, "{name}: {verdict}");
    }
    assert_eq!(verdict["steps"].as_array().map(Vec::len), Some(9), "{verdict}");
}

#[test]
fn the_documents_are_the_fold_of_all_events_of_both_hubs_and_every_bad_one_is_a_dead_letter() {
    for wire in ["json", "protobuf"] {
        let place = Place::new();
        let verdict =
            verdict(&place, &["--bad-events", "10", "--instances", "2", "--simulate", "50", "--wire", wire], 0);
        assert_it_was_one(&verdict);
        assert!(count(&verdict, "readAgain") > 0, "{verdict}");
        assert_eq!((count(&verdict, "devices"), count(&verdict, "differences")), (50, 0), "{verdict}");
        assert!(count(&verdict, "badEvents") > 0, "{verdict}");
        assert_eq!(count(&verdict, "deadLettersMissing"), 0, "{verdict}");
    }
}

#[test]
fn without_the_rewind_it_fails_by_the_devices_that_fell_silent_before_the_failover() {
    let place = Place::new();
    let verdict = verdict(&place, &["--no-rewind"], 1);
    assert_it_was_one(&verdict);
    assert_eq!((count(&verdict, "readAgain"), count(&verdict, "differences")), (0, 20), "{verdict}");
    let told = verdict["different"].as_array().expect("an array");
    assert_eq!(told.len(), 10, "a few of them are told: {verdict}");
    assert!(told[0].as_str().is_some_and(|line| line.starts_with("drone-00004: ")), "{verdict}");
}

#[test]
fn a_drill_in_which_nothing_was_lost_is_not_passed() {
    for events in ["0", "5"] {
        let place = Place::new();
        let verdict = verdict(&place, &["--simulate", "3", "--events", events], 1);
        assert_eq!((count(&verdict, "readingsLost"), count(&verdict, "differences")), (0, 0), "{verdict}");
    }
}

#[test]
fn more_events_than_a_hub_holds_unread_do_not_keep_it_from_its_end() {
    let place = Place::new();
    let verdict =
        verdict(&place, &["--simulate", "20", "--events", "150000", "--partitions", "1", "--wire", "protobuf"], 0);
    assert_it_was_one(&verdict);
}

#[test]
fn people_see_each_step_and_the_verdict() {
    let place = Place::new();
    let mut command = Command::new(devicestate());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("StateStore");
    command.args(["local", "--drill", "--simulate", "10", "--state"]).arg(place.state());
    let output = command.output().expect("the binary");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(" 1  all is well "), "{text}");
    assert!(lines.contains(&"PASSED"), "{text}");
    for state in ["state.db", "state.standby.db"] {
        assert!(place.path(state).exists() && text.contains(state), "{text}");
    }
}

fn refusal(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    errors
}

#[test]
fn it_takes_no_state_file_with_documents_since_those_would_be_nobodys() {
    let place = Place::new();
    place.run(&["--simulate", "2"]);
    let errors = refusal(&place.local(&["--drill"]).output().expect("the binary"));
    assert!(errors.contains("--state"), "{errors}");
}

#[test]
fn it_takes_no_store_but_the_one_that_it_can_fail_over() {
    let place = Place::new();
    let errors = refusal(&place.local(&["--drill"]).env("StateStore", "memory").output().expect("the binary"));
    assert!(errors.contains("StateStore"), "{errors}");
}

#[test]
fn ctrl_c_ends_it_without_a_verdict_and_leaves_no_handler() {
    let place = Place::new();
    let mut drill: Child =
        place.local(&["--drill", "--simulate", "500", "--events", "400000"]).spawn().expect("the binary");
    place.until("a handler runs", |_| !handlers(&drill).is_empty());
    assert!(signal("-INT", drill.id()));
    let output = drill.wait().expect("a child of this test");
    assert_eq!(output.code(), Some(1));
    // The place itself sees to it that no handler is left.
}
