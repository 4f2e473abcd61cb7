//! The driver's counts, compared with the handler's own.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use devicestate_test_support::{output_schema::read_output, program::devicestate};
use serde_json::{Value, json};

use crate::{
    driver::{report, run, run_failing},
    fake_handler::{FakeHandler, FakeReply, pause, stateful_body},
    handler::Handler,
};

/// 6 batches of 50 events on each of 3 connections.
const SMALL: [&str; 6] = ["--events", "50", "--connections", "3", "--batches", "6"];

const ALL_APPLIED: usize = 900;

#[test]
fn the_real_handler_applies_all_events_with_every_framing() {
    let handler = Handler::in_memory();
    let all = json!({ "from": "records", "applied": ALL_APPLIED, "superseded": 0, "deadLettered": 0 });
    // The last batch of each connection, sent again.
    let repeated = json!({ "events": 150, "applied": 0, "superseded": 150, "deadLettered": 0 });
    let with_content_type = ["--content-type", "application/json"];
    // A later driver's events are newer, so they are applied too.
    for framing in [&[][..], &["--content-length"], &with_content_type, &["--seed", "2"]] {
        let report = report(handler.port, &[&SMALL, framing].concat());
        assert_eq!((&report["counts"], &report["repeated"]), (&all, &repeated), "{framing:?}");
        assert_eq!((&report["requests"], &report["eventsSent"]), (&json!(18), &json!(ALL_APPLIED)), "{framing:?}");
    }
}

#[test]
fn packed_events_are_applied_and_superseded_when_repeated_and_their_records_are_counted() {
    let handler = Handler::start(&[("StateStore", "memory"), ("Telemetry", "json")]);
    for content_type in [&[][..], &["--content-type", "application/json"]] {
        let report = report(handler.port, &[&SMALL[..], &["--pack", "8"], content_type].concat());
        assert_eq!((&report["counts"]["applied"], &report["eventsSent"]), (&json!(ALL_APPLIED), &json!(ALL_APPLIED)));
        assert_eq!(report["repeated"]["superseded"], 150);
        let [events, records] =
            ["eventsPerSecond", "recordsPerSecond"].map(|rate| report[rate].as_f64().expect("a rate"));
        assert!((records / events - 8.0).abs() < 1e-9, "{report}");
    }
    // The handler decodes one record of each event, or none.
    let drones = Handler::in_memory();
    assert!(run_failing(drones.port, &[&SMALL[..], &["--pack", "8"]].concat(), 1).contains("900 as dead-lettered"));
    let fake = FakeHandler::start(|request| match &*request.target {
        "GET /state" => FakeReply::with(404, ""),
        _ => {
            FakeReply::with(200, &stateful_body(request, 50).replace("\\\"applied", "\\\"records\\\":399,\\\"applied"))
        }
    });
    let stderr = run_failing(fake.port, &[&SMALL[..], &["--pack", "8"]].concat(), 1);
    assert!(stderr.contains("7200 records were sent, but the replies' Logs counted 7182"), "{stderr}");
}

#[test]
fn batches_of_one_and_of_ten_thousand_events_are_applied() {
    let handler = Handler::in_memory();
    for (events, batches) in [("1", 200), ("10000", 2)] {
        let batches_text = batches.to_string();
        let report = report(handler.port, &["--events", events, "--connections", "2", "--batches", &batches_text]);
        let sent = 2 * batches * events.parse::<usize>().expect("a number");
        assert_eq!(report["counts"]["applied"], sent, "{events}");
    }
}

#[test]
fn replies_outside_the_measured_time_are_in_the_counts_and_not_in_the_rates() {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    let handler = FakeHandler::start(|request| {
        if request.target == "GET /state" {
            return FakeReply::with(404, "");
        }
        // Five at once, the sixth after the warm-up, the seventh after the measured time, and the seventh repeated.
        match ANSWERED.fetch_add(1, SeqCst) {
            0..5 => {}
            _ => pause(Duration::from_millis(1_300)),
        }
        FakeReply::stateful(request, 10)
    });
    let report = report(handler.port, &["--seconds", "1", "--connections", "1", "--events", "10"]);
    assert_eq!((&report["seconds"], &report["requestsPerSecond"]), (&json!(1.0), &json!(1.0)), "{report}");
    assert_eq!((&report["eventsPerSecond"], &report["requests"]), (&json!(10.0), &json!(7)), "{report}");
    assert_eq!((&report["eventsSent"], &report["counts"]["applied"]), (&json!(70), &json!(70)), "{report}");
}

#[test]
fn each_partition_has_the_given_number_of_devices() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = folder.path().join("state.db").display().to_string();
    let handler = Handler::start(&[("StateStore", "sqlite"), ("SqlitePath", &database)]);
    report(handler.port, &[&SMALL[..], &["--devices", "7"]].concat());
    let mut list = Command::new(devicestate());
    let listed = list.args(["devices", "list", "--output", "json", "--state", &database]).output().expect("the binary");
    let listed = read_output(&listed.stdout, listed.status.code());
    let mut devices: Vec<_> = listed.as_array().expect("a list").iter().map(|device| device["id"].clone()).collect();
    devices.sort_by_key(ToString::to_string);
    let expected = (0..3).flat_map(|partition| (0..7).map(move |device| format!("drone-{partition:02}{device:06}")));
    assert_eq!(devices, expected.map(Value::from).collect::<Vec<_>>());
}

#[test]
fn the_handlers_processor_time_and_memory_are_reported_with_its_process_id() {
    let handler = Handler::in_memory();
    let pid = handler.id().to_string();
    let report = report(handler.port, &[&SMALL[..], &["--pid", &pid]].concat());
    let bytes = |name: &str| report["handler"][name].as_u64().expect("bytes");
    assert!(bytes("peakBytes") >= bytes("residentBytes") && bytes("residentBytes") > 1 << 20, "{report}");
    for name in ["cpuPercent", "nsPerEvent"] {
        assert!(report["handler"][name].is_number(), "{report}");
    }
}

#[test]
fn the_json_has_all_options_and_figures_and_the_table_is_aligned() {
    let handler = Handler::in_memory();
    let options = [&SMALL[..], &["--devices", "7", "--body-bytes", "500", "--large-body", "9000"]].concat();
    let json = report(handler.port, &options);
    let url = format!("http://127.0.0.1:{}/", handler.port);
    for (name, value) in [
        ("url", json!(url)),
        ("function", json!("RawTelemetryFunction")),
        ("events", json!(50)),
        ("devices", json!(7)),
        ("connections", json!(3)),
        ("warm", json!(0)),
        ("batches", json!(6)),
        ("bodyBytes", json!(500)),
        ("largeBody", json!(9000)),
        ("contentType", json!(null)),
        ("contentLength", json!(false)),
        ("seed", json!(1)),
        ("pid", json!(null)),
        ("handler", json!(null)),
        ("requests", json!(18)),
        // The first connection's batches have one event each.
        ("eventsSent", json!(606)),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
    for name in ["seconds", "eventsPerSecond", "requestsPerSecond", "driverCpuPercent"] {
        assert!(json[name].is_number(), "{name} of {json}");
    }
    for latency in ["latencyMs", "largeLatencyMs"] {
        let at = |name: &str| json[latency][name].as_f64().expect("milliseconds");
        assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("p999") && at("p999") <= at("max"));
    }
    assert_eq!(
        report(handler.port, &SMALL)["largeLatencyMs"],
        json!(null),
        "without large bodies there are no latencies of them"
    );

    let table = String::from_utf8(run(handler.port, &options).stdout).expect("UTF-8");
    let ends: Vec<_> = table.lines().skip(2).map(|line| line.chars().count()).collect();
    assert!(ends.len() > 12 && ends.iter().all(|end| *end == ends[0]), "{table}");
}

#[test]
fn counts_from_state_are_used_if_available_and_as_a_difference() {
    static APPLIED: AtomicUsize = AtomicUsize::new(1_000);
    static SUPERSEDED: AtomicUsize = AtomicUsize::new(5);
    let handler = FakeHandler::start(|request| {
        if request.target == "GET /state" {
            let (applied, superseded) = (APPLIED.load(SeqCst), SUPERSEDED.load(SeqCst));
            let counts = json!({ "devices": 3, "applied": applied, "superseded": superseded, "deadLettered": 7 });
            return FakeReply::with(200, &counts.to_string());
        }
        let counter = if request.is_repeat { &SUPERSEDED } else { &APPLIED };
        counter.fetch_add(50, SeqCst);
        FakeReply::with(200, r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#)
    });
    for counts in ["auto", "state"] {
        let report = report(handler.port, &[&SMALL[..], &["--counts", counts]].concat());
        let all = json!({ "from": "state", "applied": ALL_APPLIED, "superseded": 0, "deadLettered": 0 });
        assert_eq!(report["counts"], all);
    }
}

#[test]
fn a_chunked_reply_is_read() {
    let handler = FakeHandler::start(|request| match &*request.target {
        "GET /state" => FakeReply::with(404, ""),
        _ => FakeReply::stateful_in_chunks(request, 50),
    });
    assert_eq!(report(handler.port, &SMALL)["counts"]["applied"], ALL_APPLIED);
}

#[test]
fn latencies_are_measured_until_the_reply_separately_for_large_bodies() {
    const SLOW: Duration = Duration::from_millis(30);
    let handler = FakeHandler::start(|request| {
        let is_large = request.body.len() > 1_000_000;
        match &*request.target {
            "GET /state" => return FakeReply::with(404, ""),
            _ => pause(if is_large { 3 * SLOW } else { SLOW }),
        }
        FakeReply::stateful(request, 1)
    });
    let options = ["--events", "1", "--connections", "3", "--batches", "2", "--large-body", "1000000"];
    let report = report(handler.port, &options);
    let at = |latency: &str, name: &str| report[latency][name].as_f64().expect("milliseconds");
    assert!(at("latencyMs", "p50") >= 30.0, "{report}");
    assert!(at("largeLatencyMs", "p50") >= 90.0, "{report}");
    assert!(report["seconds"].as_f64().expect("seconds") >= 0.18, "{report}");
}
