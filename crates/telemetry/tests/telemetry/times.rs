//! The device's own time.

use devicestate_engine::telemetry::RecordTime;
use serde_json::{Value, json};

use crate::{issue, readings, record};

const NOON_MS: i64 = 1_796_040_000_123;

fn file(format: &str) -> Value {
    json!({"time": {"from": "/ts", "format": format, "newest": "device"}})
}

#[track_caller]
fn time(file: &Value, ts: &str) -> RecordTime {
    record(file, format!(r#"{{"id":"a","ts":{ts}}}"#)).time
}

#[test]
fn a_time_has_the_format_of_the_file() {
    for (format, ts) in [
        ("rfc3339", "\"2026-11-30T12:00:00.123Z\""),
        ("rfc3339", "\"2026-11-30T14:00:00.123456789+02:00\""),
        ("iso8601_utc", "\"2026-11-30T12:00:00.123\""),
        ("iso8601_utc", "\"2026-11-30T14:00:00.123+02:00\""),
        ("unix", "1796040000.123"),
        ("unix", "\"1796040000.123\""),
        ("unix_ms", "1796040000123"),
        ("unix_ms", "1796040000123.0"),
        ("unix_ms", "\"1796040000123\""),
        ("unix_us", "1796040000123999"),
        ("unix_ns", "1796040000123999999"),
    ] {
        assert_eq!(time(&file(format), ts), RecordTime::Device(NOON_MS), "{format} {ts}");
    }
    assert_eq!(time(&file("unix"), "1796040000"), RecordTime::Device(1_796_040_000_000));
}

#[test]
fn a_value_that_is_not_a_time_is_rejected() {
    for (format, ts, expected) in [
        (
            "rfc3339",
            "\"2026-11-30T12:00:00\"",
            "a time as 2026-01-31T12:00:00Z, with an offset (without one, the format is `iso8601_utc`)",
        ),
        (
            "rfc3339",
            "1796040000",
            "a time as 2026-01-31T12:00:00Z, with an offset (without one, the format is `iso8601_utc`)",
        ),
        ("iso8601_utc", "\"noon\"", "a time as 2026-01-31T12:00:00"),
        ("unix", "true", "a number of seconds since 1970"),
        ("unix", "1e300", "a number of seconds since 1970"),
        ("unix", "1796040000123456", "a number of seconds since 1970"),
        ("unix_ms", "\"noon\"", "a number of milliseconds since 1970"),
        ("unix_us", "[]", "a number of microseconds since 1970"),
        ("unix_ns", "\"\"", "a number of nanoseconds since 1970"),
    ] {
        let issue = issue(&file(format), format!(r#"{{"id":"a","ts":{ts}}}"#));
        assert!(issue.starts_with(&format!("the time at /ts must be {expected}, found ")), "{issue}");
    }
}

#[test]
fn the_format_that_a_time_may_have_is_named() {
    for (format, ts, hint) in [
        ("unix", "1796040000123", "found 1796040000123: is its format `unix_ms`?"),
        ("unix_ms", "1796040000123456", "found 1796040000123456: is its format `unix_us`?"),
        ("rfc3339", "1796040000", "found 1796040000: is its format `unix`?"),
        ("rfc3339", "\"2026-11-30T12:00:00\"", ": is its format `iso8601_utc`?"),
        ("unix", "\"2026-11-30T12:00:00Z\"", ": is its format `rfc3339`?"),
        ("unix", "true", "found true"),
    ] {
        let issue = issue(&file(format), format!(r#"{{"id":"a","ts":{ts}}}"#));
        assert!(issue.ends_with(hint), "{issue}");
    }
}

#[test]
fn a_record_without_a_time_has_that_of_its_event() {
    for body in [r#"{"id":"a"}"#, r#"{"id":"a","ts":null}"#] {
        assert_eq!(record(&file("unix"), body).time, RecordTime::Enqueued);
        let required = json!({"time": {"from": ["/ts", "/at"], "newest": "device", "required": true}});
        assert_eq!(issue(&required, body), "the time is missing: nothing is at /ts or /at");
    }
}

#[test]
fn a_time_before_a_clock_can_be_right_is_unusable() {
    assert_eq!(time(&file("unix"), "1577836799"), RecordTime::Unusable);
    assert_eq!(time(&file("unix"), "1577836800"), RecordTime::Device(1_577_836_800_000));
    assert_eq!(time(&file("unix"), "0"), RecordTime::Unusable);
    assert_eq!(time(&file("unix"), "-1"), RecordTime::Unusable);
    let file =
        json!({"time": {"from": "/ts", "format": "unix", "newest": "device", "notBefore": "2026-01-01T00:00:00Z"}});
    assert_eq!(time(&file, "1700000000"), RecordTime::Unusable);
}

#[test]
fn the_time_is_only_not_a_reading_if_the_service_orders_the_records() {
    for file in [json!({"time": {"from": "/ts"}}), json!({"time": {"from": "/ts", "newest": "service"}})] {
        assert_eq!(time(&file, "true"), RecordTime::Service);
        assert_eq!(readings(&file, r#"{"id":"a","ts":"x","y":1}"#), json!({"y": 1}));
    }
}
