//! `devicestate telemetry check`: what events become, before anything is deployed.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use devicestate_test_support::{program::devicestate, read_output, report_page::ReportPage, root};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Returns the command in a folder without a function app.
pub(crate) fn telemetry(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(devicestate());
    command.arg("telemetry").args(arguments).current_dir(folder);
    for setting in ["Telemetry", "TelemetryFile", "DeviceIdFromIoTHub"] {
        command.env_remove(setting);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    telemetry(folder, arguments).output().expect("the binary runs")
}

/// Runs a check, and returns its data.
#[track_caller]
fn check(folder: &Path, arguments: &[&str], exit_code: i32) -> Value {
    let output = run(folder, &[&["check", "-o", "json"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit_code), "{errors}");
    read_output(&output.stdout, output.status.code())
}

pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

fn case(name: &str) -> PathBuf {
    root().join("tests/fixtures/cases").join(name)
}

pub(crate) const PUMPS: &str = r#"{"deviceId":"pump-1","ts":"2026-05-01T12:00:00Z","pressure":3.2,"rpm":1200,"motor":{"temp":71}}
{"deviceId":"pump-2","ts":"2026-05-01T12:00:01Z","pressure":3.3,"rpm":1201,"motor":{"temp":72}}
{"deviceId":"pump-1","ts":"2026-05-01T12:00:02Z","pressure":3.4,"rpm":1202,"motor":{"temp":73}}
"#;

const TELEMETRY: &str = r#"{
  "device": "/deviceId",
  "time": { "from": "/ts", "format": "rfc3339", "newest": "device" },
  "readings": {
    "pressure": { "from": "/pressure", "type": "number" },
    "temperature": { "from": "/motor/temp", "type": "number", "scale": 1.8, "offset": 32 },
    "site": { "value": "north" },
    "volts": "/volts"
  }
}"#;

#[test]
fn any_json_is_shown_field_by_field_with_its_source() {
    let folder = folder(&[("events.jsonl", PUMPS)]);
    let data = check(folder.path(), &["events.jsonl"], 0);
    assert_eq!(data["telemetry"], "any JSON");
    let record = &data["events"][0]["records"][0];
    assert_eq!((&record["device"], &record["deviceFrom"]), (&"pump-1".into(), &"/deviceId".into()));
    assert_eq!(record["time"], json!({ "from": "service", "utc": null }));
    let readings = json!([
        { "name": "motor.temp", "value": 71, "from": "/motor/temp" },
        { "name": "pressure", "value": 3.2, "from": "/pressure" },
        { "name": "rpm", "value": 1200, "from": "/rpm" },
        { "name": "ts", "value": "2026-05-01T12:00:00Z", "from": "/ts" },
    ]);
    let mut found = record["readings"].as_array().expect("readings").clone();
    found.sort_by_key(|reading| reading["name"].to_string());
    assert_eq!(Value::from(found), readings);
    let summary = &data["summary"];
    assert_eq!([&summary["events"], &summary["decoded"], &summary["devices"]], [3, 3, 2]);
    assert_eq!(summary["unusedFields"], json!([]));
}

#[test]
fn a_telemetry_file_is_checked_with_what_is_never_used() {
    let folder = folder(&[("events.jsonl", PUMPS), ("telemetry.json", TELEMETRY)]);
    let data = check(folder.path(), &["events.jsonl", "--limit", "1"], 0);
    assert_eq!(data["events"].as_array().map(Vec::len), Some(1));
    let record = &data["events"][0]["records"][0];
    assert_eq!(record["time"], json!({ "from": "device", "utc": "2026-05-01T12:00:00.000Z" }));
    let readings = record["readings"].as_array().expect("readings");
    let reading = |name: &str| readings.iter().find(|reading| reading["name"] == name).expect("a reading");
    assert_eq!(reading("pressure")["from"], "/pressure");
    assert_eq!(reading("temperature")["from"], "/motor/temp");
    assert_eq!(reading("site"), &json!({ "name": "site", "value": "north", "from": null }));
    let summary = &data["summary"];
    assert_eq!(summary["unusedFields"], json!([{ "pointer": "/rpm", "count": 3 }]));
    assert_eq!(summary["unusedReadings"], json!(["volts"]));
    // The file of the option is used instead, from any folder.
    fs::create_dir(folder.path().join("other")).expect("a folder");
    fs::write(folder.path().join("other/any.json"), "{}").expect("written");
    let data = check(folder.path(), &["--file", "other/any.json", "events.jsonl"], 0);
    assert_eq!(data["summary"]["unusedFields"], json!([]));
}

#[test]
fn the_page_has_the_readings_with_types_and_ranges_and_an_example_of_each_issue() {
    let hostile = r#"{"deviceId":"pump-3","pressure":"<b onclick=x>high</b>"}"#;
    let events = format!("{PUMPS}{hostile}\n{{\"deviceId\":\"p\",\"pressure\":9,\"<i>\":1}}\n");
    let folder = folder(&[("events.jsonl", &events), ("telemetry.json", TELEMETRY)]);
    let data = check(folder.path(), &["events.jsonl", "--html", "check.html"], 1);
    let page = ReportPage::read(&folder.path().join("check.html"));
    assert_eq!(page.texts[..2], ["Check of telemetry", "failed"]);
    for (figure, name) in [("events", "events"), ("dead letters", "deadLettered"), ("devices", "devices")] {
        assert_eq!(page.count(figure), data["summary"][name].as_u64().expect("a count"), "{figure}");
    }
    let row = page.texts.iter().position(|text| text == "pressure").expect("a reading");
    assert_eq!(page.texts[row..row + 7], ["pressure", "number", "3.2", "9", "4", "80.0 %", "3.2"]);
    assert!(page.texts.iter().any(|text| text == hostile), "{:?}", page.texts);
    assert!(page.texts.iter().any(|text| text == "/<i>"), "{:?}", page.texts);
    // Nothing of the events is read if the page cannot be written.
    let output = run(folder.path(), &["check", "missing.jsonl", "--html", "missing/check.html"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("option --html"), "{error}");
}

#[test]
fn an_event_that_would_be_a_dead_letter_has_its_issue_and_exit_code_1() {
    let events = format!("{PUMPS}{{\"deviceId\":\"pump-3\",\"pressure\":\"high\"}}\nnot JSON\n{{\"pressure\":1}}\n");
    let folder = folder(&[("events.jsonl", &events), ("telemetry.json", TELEMETRY)]);
    let data = check(folder.path(), &["events.jsonl"], 1);
    let summary = &data["summary"];
    assert_eq!([&summary["events"], &summary["decoded"], &summary["deadLettered"]], [6, 3, 3]);
    let issue = |event: usize| data["events"][event]["records"][0]["issue"].as_str().expect("an issue").to_owned();
    assert!(issue(3).contains("/pressure") && issue(3).contains("\"high\""), "{}", issue(3));
    assert!(issue(5).contains("device id"), "{}", issue(5));
    assert_eq!((&data["events"][3]["line"], &data["events"][3]["records"][0]["device"]), (&4.into(), &"pump-3".into()));
    assert_eq!(summary["issues"].as_array().map(Vec::len), Some(3));

    let output = run(folder.path(), &["check", "events.jsonl"]);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("3 of 6 events would become dead letters"), "{errors}");
    for expected in
        ["EVENT 4 (line 4): dead letter (validate): ", "pump-1", "the device's time", "/motor/temp", "SUMMARY"]
    {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    let tables = text.lines().filter(|line| !line.contains("dead letter (") && !line.starts_with(' '));
    assert!(tables.clone().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn each_record_of_an_event_is_shown() {
    let events = r#"{"readings":[{"deviceId":"a","t":1},{"t":2},{"deviceId":"b","t":3}]}"#;
    let telemetry = r#"{ "device": "/deviceId", "records": "/readings", "readings": { "t": "/t" } }"#;
    let folder = folder(&[("events.jsonl", events), ("telemetry.json", telemetry)]);
    let data = check(folder.path(), &["events.jsonl"], 1);
    let event = &data["events"][0];
    let outcomes: Vec<_> =
        event["records"].as_array().expect("records").iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["decoded", "deadLettered", "decoded"]);
    assert_eq!(event["outcome"], "deadLettered");
    assert_eq!(event["records"][2]["readings"][0]["from"], "/readings/2/t");
    assert_eq!([&data["summary"]["events"], &data["summary"]["records"]], [1, 3]);
    let output = run(folder.path(), &["check", "events.jsonl"]);
    let text = String::from_utf8_lossy(&output.stdout);
    for expected in ["EVENT 1 (line 1), record 0\n", "EVENT 1 (line 1), record 1: dead letter", "record 2\n"] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}

#[test]
fn a_text_is_in_quotes_and_a_time_has_its_limit() {
    let events = r#"{"deviceId":"a","ts":"2100-01-01T00:00:00Z","volts":"12"}"#;
    let folder = folder(&[("events.jsonl", events), ("telemetry.json", TELEMETRY)]);
    let output = run(folder.path(), &["check", "events.jsonl"]);
    let text = String::from_utf8_lossy(&output.stdout);
    for expected in ["\"12\"", "the device's time, at most the enqueued time"] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}

#[test]
fn all_forms_of_files_are_read_and_capture_has_the_enqueued_times() {
    let folder = folder(&[]);
    for name in ["21-array-of-events.json", "21-powershell-utf-16.jsonl", "22-capture.avro", "27-two-members.jsonl.gz"]
    {
        for telemetry in ["drone", "json"] {
            let file = case(name);
            let arguments = ["--telemetry", telemetry, file.to_str().expect("text")];
            let data = check(folder.path(), &arguments, 0);
            let events = if name.starts_with("27") { 5 } else { 4 };
            let summary = &data["summary"];
            assert_eq!([&summary["events"], &summary["decoded"], &summary["devices"]], [events, events, 2], "{name}");
            if name.starts_with("22") {
                let record = &data["events"][1]["records"][0];
                assert_eq!(record["time"], json!({ "from": "service", "utc": "2026-05-01T12:00:01.000Z" }));
            }
        }
    }
}

#[test]
fn dead_letters_are_checked_from_standard_input() {
    let letter = |body: &str, properties: &Value| {
        json!({
            "Id": "0".repeat(32), "Issue": "x", "Stage": "validate", "ErrorClass": "poison", "DeviceState": null,
            "EventData": {
                "Body": body, "PartitionKey": "a", "SequenceNumber": 7, "Offset": "1",
                "EnqueuedTimeUtc": "2026-05-01T12:00:00.5", "Properties": properties, "SystemProperties": {},
            },
            "Source": {}, "InvocationId": "", "Attempt": 1, "Time": "2026-05-01T12:00:01.000Z", "HandlerVersion": "0.2.0",
        })
    };
    let message = letter("eyJ0IjoxfQ==", &json!({ "device": "pump-9" }));
    let line =
        json!({ "messageId": "1", "insertedTime": "", "expirationTime": null, "dequeueCount": 1, "message": message });
    let telemetry_file = r#"{ "device": "property:device", "time": { "from": "/none", "newest": "device" } }"#;
    let folder = folder(&[("telemetry.json", telemetry_file)]);
    let mut command = telemetry(folder.path(), &["check", "-", "-o", "json"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(format!("{line}\n{message}\n").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let data = read_output(&output.stdout, output.status.code());
    assert_eq!(data["summary"]["events"], 2);
    for event in [0, 1] {
        let record = &data["events"][event]["records"][0];
        assert_eq!(record["device"], "pump-9");
        assert_eq!(record["time"], json!({ "from": "enqueued", "utc": "2026-05-01T12:00:00.500Z" }));
        assert_eq!(record["readings"], json!([{ "name": "t", "value": 1, "from": "/t" }]));
    }
}

#[test]
fn a_check_that_cannot_start_exits_with_2_and_prints_nothing() {
    let folder = folder(&[("events.jsonl", PUMPS), ("bad.json", "{ \"reading\": {} }"), ("e.csv", "a,b\n1,2\n")]);
    for (arguments, expected) in [
        (&["check", "missing.jsonl"][..], "missing.jsonl cannot be read: No such file"),
        (&["check", "e.csv"], "is not a JSON object"),
        (&["check", "events.jsonl", "--file", "bad.json"], "`readings`"),
        (
            &["check", "events.jsonl", "--file", "missing.json"],
            "missing.json cannot be read: No such file or directory (option --file)",
        ),
        (&["check", "events.jsonl", "--telemetry", "drone", "--file", "bad.json"], "cannot be used with"),
        (&["check"], "EVENTS"),
    ] {
        let output = run(folder.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_file_without_events_is_a_warning() {
    let folder = folder(&[("events.jsonl", "\n")]);
    let output = run(folder.path(), &["check", "events.jsonl"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the file has no events"));
}
