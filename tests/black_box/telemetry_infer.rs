//! `devicestate telemetry infer`: the file that it writes decodes its sample.

use std::{fs, path::Path};

use devicestate_test_support::{read_output, root};
use serde_json::{Value, json};

use crate::telemetry_check::{PUMPS, folder, telemetry};

/// Infers a telemetry file from a sample, and returns it with the messages, and the data of a check of the sample.
#[track_caller]
fn infer(folder: &Path, sample: &str) -> (Value, String, Value) {
    let output = telemetry(folder, &["infer", sample, "--output", "new.json"]).output().expect("the binary runs");
    let messages = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{messages}");
    let text = fs::read_to_string(folder.join("new.json")).expect("the file");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    assert!(file["$schema"].as_str().is_some_and(|schema| schema.ends_with("/docs/reference/telemetry.schema.json")));
    let output = telemetry(folder, &["check", "--file", "new.json", sample, "-o", "json"]).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}\n{text}", String::from_utf8_lossy(&output.stdout));
    (file, messages, read_output(&output.stdout, output.status.code()))
}

fn readings(check: &Value, event: usize, record: usize) -> Value {
    let readings = check["events"][event]["records"][record]["readings"].as_array().expect("readings");
    let member = |reading: &Value| (reading["name"].as_str().expect("a name").to_owned(), reading["value"].clone());
    readings.iter().map(member).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn the_pumps_have_a_device_id_a_time_and_readings_by_their_paths() {
    let folder = folder(&[("sample.jsonl", PUMPS)]);
    let (file, messages, check) = infer(folder.path(), "sample.jsonl");
    assert_eq!(file["device"], "/deviceId");
    assert_eq!(file["time"], json!({ "from": "/ts", "format": "rfc3339", "newest": "service" }));
    assert_eq!(file["readings"]["motor.temp"], json!({ "from": "/motor/temp", "type": "number" }));
    assert_eq!(readings(&check, 0, 0), json!({ "motor.temp": 71.0, "pressure": 3.2, "rpm": 1200.0 }));
    for expected in ["3 events with 3 records", "device id: /deviceId", "time: /ts as rfc3339", "add units"] {
        assert!(messages.contains(expected), "{expected:?} is not in:\n{messages}");
    }
    assert!(!messages.contains("check that it is the device id"), "{messages}");
}

#[test]
fn the_sample_of_flights_is_decoded_completely() {
    let sample = root().join("samples/px4-flights.jsonl");
    let folder = folder(&[]);
    let (file, _, check) = infer(folder.path(), sample.to_str().expect("text"));
    assert_eq!((&file["device"], file.get("time")), (&"/deviceId".into(), None));
    let summary = &check["summary"];
    assert_eq!([&summary["decoded"], &summary["devices"]], [876, 2]);
    assert_eq!((&summary["unusedFields"], &summary["unusedReadings"]), (&json!([]), &json!([])));
}

#[test]
fn nested_members_reserved_names_and_times_in_another_order_are_recognized() {
    let sample = r#"[{"meta":{"device":{"id":"a1"},"sentAt":1777640523123},"temp":{"in":21.5,"out":3},"ok":true,"_raw":5,"id":"m1"},
        {"meta":{"device":{"id":"a2"},"sentAt":1777640522123},"temp":{"in":21,"out":null},"ok":false,"id":"m2"}]"#;
    let folder = folder(&[("sample.json", sample)]);
    let (file, messages, check) = infer(folder.path(), "sample.json");
    assert_eq!(file["device"], "/meta/device/id");
    assert_eq!(file["time"], json!({ "from": "/meta/sentAt", "format": "unix_ms", "newest": "device" }));
    assert!(messages.contains("/_raw is event.raw") && messages.contains("/id is event.id"), "{messages}");
    let expected = json!({ "event.id": "m1", "event.raw": 5.0, "ok": true, "temp.in": 21.5, "temp.out": 3.0 });
    assert_eq!(readings(&check, 0, 0), expected);
    assert_eq!(check["events"][1]["records"][0]["time"]["utc"], "2026-05-01T13:02:02.123Z");
}

#[test]
fn an_array_in_the_body_contains_records_or_pairs_of_a_name_and_a_value() {
    let batch = r#"{"gateway":"g1","readings":[{"deviceId":"s1","t":"2026-05-01 12:00:00","v":1},{"deviceId":"s2","t":"2026-05-01 12:00:05","v":2.5,"count":9007199254740995}]}
{"gateway":"g1","readings":[{"deviceId":"s1","t":"2026-05-01 12:01:00","v":1}]}"#;
    let pairs = r#"{"timestamp":1777640523123,"device":"plc-1","metrics":[{"name":"temp","value":20.5},{"name":"on","value":true}]}"#;
    let list =
        r#"{"device_id":"d","received_at":"2026-05-01T12:00:00Z","rx":[{"time":"2026-05-01T12:00:00Z","rssi":-80}]}"#;
    let folder = folder(&[("batch.jsonl", batch), ("pairs.json", pairs), ("list.json", list)]);
    let (file, _, check) = infer(folder.path(), "batch.jsonl");
    assert_eq!([&file["device"], &file["records"], &file["time"]["newest"]], ["/deviceId", "/readings", "device"]);
    assert_eq!(readings(&check, 0, 1), json!({ "count": 9_007_199_254_740_995_u64, "gateway": "g1", "v": 2.5 }));
    fs::remove_file(folder.path().join("new.json")).expect("removed");
    let (file, _, check) = infer(folder.path(), "pairs.json");
    assert_eq!(file["readings"]["*"], json!({ "from": "/metrics", "name": "/name", "value": "/value" }));
    assert_eq!(readings(&check, 0, 0), json!({ "on": true, "temp": 20.5 }));
    fs::remove_file(folder.path().join("new.json")).expect("removed");
    let (file, _, check) = infer(folder.path(), "list.json");
    assert_eq!((file.get("records"), check["summary"]["records"].as_u64()), (None, Some(1)));
}

#[test]
fn a_file_is_overwritten_only_with_the_option() {
    let folder = folder(&[("sample.jsonl", PUMPS), ("telemetry.json", "{}")]);
    let run = |options: &[&str]| {
        let arguments = [&["infer", "sample.jsonl", "--output", "telemetry.json"], options].concat();
        let output = telemetry(folder.path(), &arguments).output().expect("the binary runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let content = || fs::read_to_string(folder.path().join("telemetry.json")).expect("the file");
    let (code, error) = run(&[]);
    assert!(code == Some(2) && error.contains("telemetry.json exists: use another name, or --overwrite"), "{error}");
    assert_eq!(content(), "{}");
    let (code, error) = run(&["--overwrite"]);
    assert!(code == Some(0) && content().contains("/deviceId"), "{error}");
}

#[test]
fn a_sample_without_a_device_id_or_without_json_is_an_error() {
    let folder = folder(&[("a.jsonl", "{\"x\":1.5}\n"), ("b.jsonl", "{]\n"), ("c.jsonl", "")]);
    for (sample, expected) in [
        ("a.jsonl", "no field of the sample looks like a device id"),
        ("b.jsonl", "no event of the sample contains a JSON object: "),
        ("c.jsonl", "no event of the sample contains a JSON object\n"),
    ] {
        let output = telemetry(folder.path(), &["infer", sample]).output().expect("the binary runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}
