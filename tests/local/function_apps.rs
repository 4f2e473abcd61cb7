//! Other function apps than the shipped one: the stand-in follows their files.

use std::fs;

use serde_json::json;

use crate::support::{Place, assert_adds_up, count, function_app, last_values, report};

#[test]
fn another_function_with_other_binding_names_is_served_under_its_own() {
    let place = Place::new();
    let root = function_app(&place, |_, function| {
        function["bindings"][0]["name"] = "telemetry".into();
        function["bindings"][1]["name"] = "broken".into();
    });
    fs::rename(root.join("RawTelemetryFunction"), root.join("Other")).expect("a folder can be renamed");
    let good = json!({ "deviceId": "a", "battery": 0.5 });
    let file = place.write("e.jsonl", format!("{good}\nbad\n"));
    let arguments = ["--input", file.to_str().expect("text"), "--app-root", root.to_str().expect("text")];
    let report = place.run(&arguments);
    assert_eq!((count(&report, "applied"), count(&report, "deadLetterMessages")), (1, 1));
    assert_eq!(place.documents(), last_values([good]));
    assert_eq!(place.dead_letters().len(), 1);
}

#[test]
fn batches_are_no_larger_than_host_json_says() {
    let place = Place::new();
    let root = function_app(&place, |host, _| host["extensions"]["eventHubs"]["maxEventBatchSize"] = 10.into());
    let report = place.run(&["--simulate", "5", "--events", "200", "--app-root", root.to_str().expect("text")]);
    assert!(count(&report, "batches") >= 20, "{report}");
}

#[test]
fn a_batch_that_fails_without_a_retry_policy_is_lost_and_the_run_says_so() {
    let place = Place::new();
    // Without dataType the host fails a whole batch for one body that is not JSON, and then passes it.
    let root = function_app(&place, |_, function| {
        function.as_object_mut().expect("an object").remove("retry");
        function["bindings"][0].as_object_mut().expect("an object").remove("dataType");
    });
    let file = place.write("e.jsonl", "{\"deviceId\":\"a\",\"battery\":0.5}\nbad\n");
    let arguments = ["--partitions", "1", "--input", file.to_str().expect("text"), "--app-root"];
    let output = place.local(&arguments).arg(&root).output().expect("the binary runs");
    let report = report(&output, 1);
    assert!(count(&report, "lost") >= 1, "{report}");
    assert_adds_up(&report);
}

#[test]
fn a_state_store_that_was_chosen_by_its_settings_is_used_in_place_of_the_state_file() {
    let place = Place::new();
    let output = place.local(&["--simulate", "3"]).env("StateStore", "memory").output().expect("the binary runs");
    let report = report(&output, 0);
    assert!(report["devices"].is_null(), "{report}");
    assert_eq!(place.documents().len(), 0);
}

#[test]
fn a_checkpoint_that_comes_seldom_does_not_stop_the_stream() {
    let place = Place::new();
    let root = function_app(&place, |host, _| host["extensions"]["eventHubs"]["batchCheckpointFrequency"] = 100.into());
    let arguments = ["--simulate", "5", "--events", "30000", "--partitions", "1", "--app-root"];
    let output = place.local(&arguments).arg(&root).output().expect("the binary runs");
    assert_eq!(count(&report(&output, 0), "applied"), 30_000);
}

#[test]
fn a_handler_in_a_folder_below_finds_the_function_app_all_the_same() {
    let place = Place::new();
    let root = function_app(&place, |host, _| host["customHandler"]["description"]["workingDirectory"] = "bin".into());
    fs::create_dir(root.join("bin")).expect("a folder can be made");
    let report = place.run(&["--simulate", "2", "--app-root", root.to_str().expect("text")]);
    assert_eq!(count(&report, "devices"), 2);
}

#[test]
fn the_state_option_has_precedence_over_a_file_of_the_environment() {
    let place = Place::new();
    let mut command = place.local(&["--simulate", "2"]);
    command.env("StateStore", "sqlite").env("SqlitePath", place.path("other.db"));
    report(&command.output().expect("the binary runs"), 0);
    assert_eq!(place.documents().len(), 2);
    assert!(!place.path("other.db").exists());
}

#[test]
fn app_settings_have_precedence_over_host_json() {
    let place = Place::new();
    let mut command = place.local(&["--simulate", "5", "--events", "200"]);
    command.env("AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize", "10");
    assert!(count(&report(&command.output().expect("the binary runs"), 0), "batches") >= 20);

    let mut command = place.local(&[]);
    let output = command.env("AzureFunctionsJobHost__functionTimeout", "00:00:30").output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("InvocationBudget") && error.contains("functionTimeout"), "{error}");
}

/// As `scripts/package.sh` makes it: no settings, no samples.
#[test]
fn an_app_with_nothing_but_what_is_published_runs_with_simulated_devices() {
    let place = Place::new();
    let root = function_app(&place, |_, _| {});
    fs::remove_file(root.join("local.settings.json")).expect("a file of the app");
    let mut local = place.local(&["--app-root", root.to_str().expect("text")]);
    let output =
        local.env_remove("EventHubName").env_remove("EventHubConsumerGroup").output().expect("the binary runs");
    let report = report(&output, 0);
    assert_eq!((count(&report, "received"), place.documents().len()), (1_000, 10));
    assert_eq!(count(&report, "lost"), 0);
}
