//! `devicestate telemetry infer`: the file that it writes decodes its sample.

use std::{fs, path::Path};

use devicestate_test_support::{read_output, root};
use serde_json::{Value, json};

use crate::telemetry_check::{PUMPS, folder, telemetry};

/// Infers a telemetry file from a sample, and returns it with the messages, and the data of a check of the sample.
#[track_caller]
fn infer(folder: &Path, sample: &str) -> (Value, String, Value) {
    infer_with(folder, sample, &[])
}

/// The same, with options. The file replaces that of an earlier call.
#[track_caller]
fn infer_with(folder: &Path, sample: &str, options: &[&str]) -> (Value, String, Value) {
    let arguments = [&["infer", sample, "--output", "new.json", "--overwrite"], options].concat();
    let output = telemetry(folder, &arguments).output().expect("the binary runs");
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
    let (file, _, check) = infer(folder.path(), "pairs.json");
    assert_eq!(file["readings"]["*"], json!({ "from": "/metrics", "name": "/name", "value": "/value" }));
    assert_eq!(readings(&check, 0, 0), json!({ "on": true, "temp": 20.5 }));
    let (file, _, check) = infer(folder.path(), "list.json");
    assert_eq!((file.get("records"), check["summary"]["records"].as_u64()), (None, Some(1)));
}

#[test]
fn what_is_in_the_record_is_preferred() {
    let meters = r#"{"gw":"g","sentAt":"2026-05-01T12:00:05Z","readings":[{"meterId":"a","at":"2026-05-01T12:00:00Z","v":1},{"meterId":"a","at":"2026-05-01T11:00:00Z","v":2}]}"#;
    let folder = folder(&[("meters.json", meters)]);
    let (file, _, _) = infer(folder.path(), "meters.json");
    let time = json!({ "from": "/at", "format": "rfc3339", "newest": "device" });
    assert_eq!((&file["records"], &file["device"], &file["time"]), (&"/readings".into(), &"/meterId".into(), &time));
    let sample = root().join("samples/telemetry/opc-ua/events.jsonl");
    let (file, _, check) = infer(folder.path(), sample.to_str().expect("text"));
    assert_eq!([&file["records"], &file["device"]], ["/Messages", "/DataSetWriterId"]);
    assert_eq!(check["summary"]["devices"], 2);
}

#[test]
fn the_device_id_has_many_names_or_only_its_values() {
    let folder = folder(&[]);
    for (name, (one, other), device) in [
        ("unit", (r#""unit":{"equipmentNo":"E-1"}"#, r#""unit":{"equipmentNo":"E-2"}"#), "/unit/equipmentNo"),
        ("asset", (r#""asset":"north""#, r#""asset":"south""#), "/asset"),
        ("gateway", (r#""gateway":{"sn":"77A"}"#, r#""gateway":{"sn":"77B"}"#), "/gateway/sn"),
        ("number", (r#""plant_no":4711,"grid":1"#, r#""plant_no":4712,"grid":2"#), "/plant_no"),
        ("values", (r#""box":"b1","fw":"v1.2","mode":"m1""#, r#""box":"b2","fw":"v1.2","mode":"m1""#), "/box"),
    ] {
        let sample = format!("{{{one},\"p\":1.5}}\n{{{other},\"p\":2.5}}\n{{{one},\"p\":2}}\n");
        fs::write(folder.path().join(name), sample).expect("written");
        let (file, _, check) = infer(folder.path(), name);
        assert_eq!((&file["device"], &check["summary"]["devices"]), (&device.into(), &2.into()), "{name}");
    }
}

#[test]
fn one_clock_that_was_reset_does_not_hide_the_time() {
    let times = [1_796_040_000_000_i64, 86_400_000, 1_796_040_001_000];
    let folder = folder(&[]);
    for name in ["tsMs", "ts_ms", "time_ms", "timestampMs", "uploadTime"] {
        let sample = times.map(|time| json!({ "id": "a", name: time, "p": 1 }).to_string()).join("\n");
        fs::write(folder.path().join("sample.jsonl"), sample).expect("written");
        let (file, _, _) = infer(folder.path(), "sample.jsonl");
        assert_eq!(
            file["time"],
            json!({ "from": format!("/{name}"), "format": "unix_ms", "newest": "service" }),
            "the order of the other times is that of the events"
        );
    }
}

#[test]
fn the_device_id_and_the_time_are_named_by_options() {
    let sample = r#"{"deviceId":"gw","w":"x","seen":1777640523,"list":[{"deviceId":"s1","when":1777640000,"v":1}]}"#;
    let folder = folder(&[("sample.json", sample)]);
    let options = ["--device", "body:/w", "--time", "/when"];
    let (file, messages, check) = infer_with(folder.path(), "sample.json", &options);
    assert_eq!([&file["device"], &file["time"]["from"], &file["time"]["format"]], ["body:/w", "/when", "unix"]);
    assert_eq!(check["events"][0]["records"][0]["device"], "x");
    assert!(messages.contains("device id: body:/w, with 1 different value"), "{messages}");
    for (options, expected) in [
        (
            ["--device", "/w"],
            "--device is not valid: no record of the sample has a value at `/w`; there are `/deviceId`",
        ),
        (
            ["--device", "w"],
            "--device is not valid: \"w\" is not valid: a JSON Pointer begins with `/`: did you mean `/w`?",
        ),
        (["--time", "/deviceId"], "--time is not valid: the values at `/deviceId` are not times of one format"),
    ] {
        let output = telemetry(folder.path(), &[&["infer", "sample.json"], &options[..]].concat()).output();
        let output = output.expect("the binary runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
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
    let folder = folder(&[("a.jsonl", "{\"x\":1.5,\"k\":\"on\"}\n"), ("b.jsonl", "{]\n"), ("c.jsonl", "")]);
    for (sample, expected) in [
        (
            "a.jsonl",
            "no field of the sample looks like a device id: name it with --device, one of the fields `/k` (1 different value)",
        ),
        ("b.jsonl", "no event of the sample contains a JSON object: "),
        ("c.jsonl", "no event of the sample contains a JSON object\n"),
    ] {
        let output = telemetry(folder.path(), &["infer", sample]).output().expect("the binary runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}
