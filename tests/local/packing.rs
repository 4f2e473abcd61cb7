//! `--pack`: several records of a device in one event.

use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, lines, report};

/// Runs with any JSON as the telemetry.
fn run(workspace: &Workspace, arguments: &[&str]) -> Value {
    let mut command = workspace.local(arguments);
    report(&command.env("Telemetry", "json").output().expect("the binary runs"), 0)
}

#[test]
fn packed_events_of_simulated_devices_result_in_the_same_documents() {
    const DEVICES: [&str; 4] = ["--devices", "20", "--events", "30"];
    let unpacked = Workspace::new();
    assert_eq!(count(&run(&unpacked, &DEVICES), "received"), 600);
    for options in [&["--pack", "8", "--check", "--partitions", "3"][..], &["--pack", "8", "--sessions"]] {
        let packed = Workspace::new();
        let report = run(&packed, &[&DEVICES, options].concat());
        assert_adds_up(&report);
        // Each device has four events of 8, 8, 8 and 6 records.
        assert_eq!((count(&report, "received"), count(&report, "records")), (80, 600), "{report}");
        assert_eq!(packed.documents(), unpacked.documents());
    }
}

#[test]
fn records_of_a_file_are_packed_by_device_and_others_are_sent_as_they_are() {
    let record =
        |number: i64| json!({ "deviceId": format!("d{}", number % 7), "number": number, "at": { "n": -number } });
    let records: Vec<_> = (0..100).map(record).collect();
    let mut text = lines(&records);
    text.push_str(
        "not JSON\n{\"number\":1}\n[{\"deviceId\":\"d1\",\"number\":101},{\"deviceId\":\"d1\",\"number\":102}]\n",
    );
    text.push_str(&lines(&[json!({ "deviceId": "d1", "number": 103 })]));
    let documents = |pack: &str, received: u64| {
        let workspace = Workspace::new();
        let file = workspace.write("e.jsonl", &text);
        let report = run(&workspace, &["--file", file.to_str().expect("text"), "--pack", pack, "--check"]);
        assert_adds_up(&report);
        assert_eq!((count(&report, "received"), count(&report, "deadLettered")), (received, 2), "{report}");
        assert_eq!(report["check"]["differentDocuments"], 0, "{report}");
        workspace.documents()
    };
    let unpacked = documents("1", 104);
    assert_eq!(unpacked["d1"]["number"], 103);
    // Two of each of the seven devices, the three that are sent as they are, and the last record.
    assert_eq!(documents("8", 18), unpacked);
}

#[test]
fn what_cannot_be_packed_is_an_error_that_says_why() {
    let workspace = Workspace::new();
    let file =
        workspace.write("e.jsonl", "{\"deviceId\":\"a\",\"n\":1}\n\"{\\\"deviceId\\\":\\\"a\\\",\\\"n\\\":2}\"\n");
    let file = ["--file", file.to_str().expect("text"), "--pack", "2"];
    for (telemetry, arguments, code, expected) in [
        ("json", &file[..], 1, "event 2 of the file cannot be packed: the telemetry (any JSON) reads it alone"),
        ("drone", &file, 2, "`Telemetry=drone` reads only one record of an event: remove the setting"),
        (
            "json",
            &["--devices", "1", "--pack", "2", "--encoding", "protobuf"],
            2,
            "use --encoding json (option --pack)",
        ),
        ("json", &["--pack", "2"], 2, "<--file <FILE>|--devices <N>>"),
    ] {
        let output = workspace.local(arguments).env("Telemetry", telemetry).output().expect("the binary runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}
