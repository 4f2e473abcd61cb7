//! Which alerts fire over which telemetry, with near misses.

use std::fs;

use devicestate_test_support::output_schema::read_output;
use serde_json::{Value, json};

use crate::{
    support::{call, check, deployed},
    telemetry::{Telemetry, is_of, is_of_batch, is_record, message},
};

#[test]
fn healthy_or_empty_telemetry_fires_nothing() {
    Telemetry::healthy().fires(&[]);
    let mut nothing = Telemetry::default();
    nothing.queue(0, 0, None).fires(&[]);
    Telemetry::healthy().without(|row| !is_record(row)).fires(&[]);
    // Without a record of the queue, an alert would fire.
    Telemetry::default().fires(&["dead-letters-expiring"]);
}

/// The service groups the rows of a rule by their `TimeGenerated`.
#[test]
fn a_row_whose_time_is_null_does_not_fire() {
    let replacement = ["lastLook = TimeGenerated", "TimeGenerated"];
    let firing = call("firing", &json!({ "rows": [], "replacement": replacement })).expect("a result");
    assert_eq!(firing, json!([]));
}

#[test]
fn no_output_fires_when_the_handler_is_down() {
    Telemetry::healthy().without(is_of_batch).fires(&["no-output", "group-behind"]);
    Telemetry::healthy().without(is_record).fires(&["no-output", "group-behind", "dead-letters-expiring"]);
}

#[test]
fn no_output_fires_when_every_attempt_fails() {
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        telemetry.failed(minute, "0", &json!({ "lagMs": 200_000 }));
    }
    telemetry.fires(&["no-output", "group-behind"]);
}

#[test]
fn no_output_fires_when_every_event_is_dead_lettered() {
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        for partition in ["0", "1"] {
            telemetry.batch(minute, partition, &json!({ "applied": 0, "deadLettered": 100 }));
        }
    }
    telemetry.fires(&["no-output", "dead-letter-rate"]);
}

#[test]
fn no_output_is_quiet_when_events_are_recent_or_superseded() {
    let mut telemetry = Telemetry::default();
    telemetry.queue(0, 0, None).incoming(30, 200);
    telemetry.fires(&[]);
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        for partition in ["0", "1"] {
            telemetry.batch(minute, partition, &json!({ "applied": 0, "superseded": 100 }));
        }
    }
    telemetry.fires(&[]);
}

#[test]
fn session_messages_count_neither_as_output_nor_as_input_of_the_hub() {
    let mut silent_hub = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        silent_hub.batch(minute, "", &message());
    }
    silent_hub.fires(&["no-output", "group-behind"]);
    // The metric has the same name in both services.
    let mut healthy = Telemetry::healthy();
    for minute in 0..=30 {
        let row = json!({
            "Type": "AzureMetrics", "ResourceProvider": "MICROSOFT.SERVICEBUS", "MetricName": "IncomingMessages", "Total": 5000,
        });
        healthy.row(minute, row);
    }
    healthy.fires(&[]);
}

#[test]
fn group_behind_fires_when_one_partition_makes_no_progress() {
    Telemetry::healthy().without(|row| is_of(row, "1")).fires(&["group-behind"]);
}

#[test]
fn group_behind_fires_for_one_silent_partition_that_was_busy() {
    let of_partitions = |silent_from: u32, events: u64| {
        let mut telemetry = Telemetry::healthy();
        for minute in 0..=30 {
            telemetry.incoming(minute, 3_000);
            for partition in 2..32 {
                let fields = json!({ "events": if partition == 7 { events } else { 100 }, "applied": events });
                if partition != 7 || minute < silent_from {
                    telemetry.batch(minute, &partition.to_string(), &fields);
                }
            }
        }
        telemetry
    };
    of_partitions(31, 100).fires(&[]);
    of_partitions(19, 100).fires(&["group-behind"]);
    // A partition with one event per minute may have had no event in this time.
    of_partitions(19, 1).fires(&[]);
}

#[test]
fn sequence_numbers_that_restart_in_a_recreated_hub_are_not_progress() {
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    let old = json!({ "firstSequenceNumber": 5_000_000, "lastSequenceNumber": 5_000_099 });
    telemetry.batch(1, "0", &old).batch(2, "0", &json!({ "firstSequenceNumber": 0, "lastSequenceNumber": 99 }));
    telemetry.fires(&["no-output", "group-behind"]);
}

#[test]
fn sequence_numbers_of_another_regions_namespace_are_separate() {
    let mut telemetry = Telemetry::healthy();
    let other = json!({
        "fullyQualifiedNamespace": "standby.servicebus.windows.net", "firstSequenceNumber": 0, "lastSequenceNumber": 99,
    });
    telemetry.incoming(30, 100).batch(30, "0", &other);
    telemetry.fires(&[]);
}

#[test]
fn lag_is_that_of_each_partitions_newest_attempt() {
    for (lag, fires) in [(301_000, vec!["lag"]), (299_000, vec![])] {
        let mut telemetry = Telemetry::healthy();
        telemetry.batch(30, "2", &json!({ "lagMs": lag }));
        telemetry.fires(&fires);
        let mut telemetry = Telemetry::healthy();
        telemetry.failed(30, "2", &json!({ "lagMs": lag }));
        telemetry.fires(&fires);
    }
    let mut telemetry = Telemetry::healthy();
    telemetry.batch(20, "2", &json!({ "lagMs": 900_000 })).batch(30, "2", &json!({ "lagMs": 100 }));
    telemetry.fires(&[]);
    let mut telemetry = Telemetry::healthy();
    telemetry.batch(30, "2", &json!({ "lagMs": null }));
    telemetry.fires(&[]);
}

#[test]
fn lag_near_retention_fires_above_half_the_retention() {
    let hours = |hours: i64| json!({ "lagMs": hours * 3_600_000 });
    let mut telemetry = Telemetry::healthy();
    telemetry.batch(30, "2", &hours(83)).fires(&["lag"]);
    telemetry.batch(30, "3", &hours(85)).fires(&["lag", "lag-near-retention"]);
}

#[test]
fn dead_letter_rate_fires_above_one_percent() {
    let with = |dead: u64| json!({ "applied": 100 - dead, "deadLettered": dead });
    let mut telemetry = Telemetry::healthy();
    for minute in 16..=30 {
        telemetry.batch(minute, "2", &with(2));
    }
    telemetry.fires(&[]);
    for minute in 16..=30 {
        telemetry.batch(minute, "3", &with(3));
    }
    telemetry.fires(&["dead-letter-rate"]);
}

#[test]
fn unrecognized_fires_at_the_first_event_and_ignored_events_are_output() {
    let mut telemetry = Telemetry::healthy();
    telemetry.batch(29, "2", &json!({ "applied": 99, "ignored": 1 })).fires(&[]);
    telemetry.batch(30, "2", &json!({ "applied": 99, "unrecognized": 1 })).fires(&["unrecognized"]);
    let all = |count: &str| {
        let mut telemetry = Telemetry::healthy().without(is_of_batch);
        for minute in 0..=30 {
            for partition in ["0", "1"] {
                telemetry.batch(minute, partition, &json!({ "applied": 0, count: 100 }));
            }
        }
        telemetry
    };
    all("ignored").fires(&[]);
    all("unrecognized").fires(&["no-output", "unrecognized"]);
}

#[test]
fn dead_letters_expiring_fires_after_six_days_by_the_newest_queue_record() {
    let mut telemetry = Telemetry::healthy();
    telemetry.queue(28, 3, Some(5.9)).fires(&[]);
    telemetry.queue(29, 3, Some(6.1)).fires(&["dead-letters-expiring"]);
    telemetry.queue(30, 0, None).fires(&[]);
}

#[test]
fn the_next_expiration_counts_before_the_oldest_age() {
    let imported = |expires_in_days: Option<i64>| {
        json!({
            "record": "deadLetterQueue", "queueName": "deadletterqueue", "messages": 2,
            "oldestAgeMs": 30 * 86_400_000_i64, "expiresInMs": expires_in_days.map(|days| days * 86_400_000),
        })
    };
    let mut telemetry = Telemetry::healthy();
    telemetry.record(29, "a", &imported(Some(3))).fires(&[]);
    telemetry.record(30, "a", &imported(None)).fires(&["dead-letters-expiring"]);
}

#[test]
fn throttling_fires_by_its_share_of_all_operations() {
    let mut telemetry = Telemetry::healthy();
    telemetry.failed(30, "2", &json!({ "reads": 0, "writes": 60, "throttled": 40 })).fires(&["documents-throttled"]);
    let mut telemetry = Telemetry::healthy();
    telemetry.failed(30, "2", &json!({ "reads": 0, "writes": 60, "throttled": 20 })).fires(&[]);
    let mut telemetry = Telemetry::healthy();
    telemetry.metric(30, "ThrottledRequests", 1).fires(&["stream-throttled"]);
}

#[test]
fn an_iot_hub_has_other_metric_names() {
    let mut telemetry = Telemetry::default();
    telemetry.queue(0, 0, None).metric(19, "d2c.endpoints.egress.builtIn.events", 200).metric(
        30,
        "d2c.telemetry.ingress.sendThrottle",
        1,
    );
    telemetry.fires(&["no-output", "group-behind", "stream-throttled"]);
}

#[test]
fn dead_letter_sub_queue_fires_while_it_has_messages() {
    let level = |minute, now: u64| {
        let row = json!({
            "Type": "AzureMetrics", "ResourceProvider": "MICROSOFT.SERVICEBUS", "MetricName": "DeadletteredMessages",
            "Total": now, "Maximum": now,
        });
        (minute, row)
    };
    for (levels, expected) in [
        (&[level(10, 0), level(29, 0)][..], &[][..]),
        (&[level(10, 0), level(29, 1)], &["dead-letter-sub-queue"]),
        (&[level(10, 3), level(29, 0)], &[]),
    ] {
        let mut telemetry = Telemetry::healthy();
        for (minute, row) in levels {
            telemetry.row(*minute, row.clone());
        }
        telemetry.fires(expected);
    }
}

#[test]
fn a_metric_without_its_dimension_does_not_fire() {
    let mut telemetry = Telemetry::healthy();
    telemetry.metric(30, "TotalRequests", 50_000).fires(&[]);
}

#[test]
fn only_a_second_start_of_an_instance_is_a_restart() {
    let mut telemetry = Telemetry::healthy();
    telemetry.start(20, "c").fires(&[]);
    telemetry.start(30, "c").fires(&["handler-restarts"]);
    let mut telemetry = Telemetry::healthy();
    telemetry.start(30, "a").fires(&[]);
}

#[test]
fn the_check_can_be_limited_to_one_alert_or_query_and_its_exit_code_is_the_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telemetry.jsonl");
    let mut telemetry = Telemetry::healthy();
    telemetry.metric(29, "ThrottledRequests", 3).incoming(30, 0);
    // The last line is incomplete.
    let lines: String = telemetry.0.iter().map(|row| row.to_string() + "\n").collect();
    fs::write(&file, lines + r#"{"Type":"AppTra"#).expect("a file");
    for (options, code, expected) in [
        (&["--alert", "stream-throttled"][..], 1, "fires"),
        (&["--alert", "stream-throttled", "--window", "30s"], 0, "quiet"),
        (&["--alert", "stream-throttled", "--until", "fires"], 0, "fires"),
        (&["--alert", "stream-throttled", "--until", "quiet", "--within", "1s"], 1, "fires"),
        (&["--query", "costs"], 0, "requestUnitsPerEvent"),
        (&["--query", "costs", "--output", "json"], 0, "\"requestUnitsPerEvent\": 0.6"),
        (&["--alert", "none"], 2, "--alert must be one of no-output"),
        (&["--query", "none"], 2, "--query must be one of batches"),
        (&["--until", "fires"], 2, "--alert"),
        (&["--window", "soon", "--alert", "lag"], 2, "soon is not a timespan"),
        (&["--nonsense"], 2, "--nonsense"),
        (&["--help"], 0, "Exit codes"),
    ] {
        let output = check(&file, options);
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {text}");
        assert!(text.contains(expected), "{options:?}: {text}");
    }
    let output = check(&folder.path().join("nothing"), &[]);
    assert_eq!(output.status.code(), Some(2));
    for (content, expected) in [("# not JSON\n", "line 1, is not valid JSON"), ("{\"a\":1}\n", "has no telemetry")] {
        fs::write(&file, content).expect("a file");
        let output = check(&file, &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && errors.contains(expected) && errors.lines().count() == 1,
            "{errors}"
        );
    }
}

#[test]
fn alerts_are_printed_as_an_aligned_table_with_their_pages() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telemetry.jsonl");
    fs::write(&file, "").expect("a file");
    let output = check(&file, &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    let (alerts, _) = deployed();
    let mut lines = text.lines();
    let head = lines.next().expect("a head");
    for (line, alert) in lines.by_ref().zip(&alerts) {
        let name = alert["name"].as_str().expect("a name");
        assert!(line.starts_with(&format!("{name} ")), "{text}");
        assert_eq!(line.find("docs/operate/alerts/"), head.find("PAGE"), "{text}");
    }
    assert_eq!(text.lines().count(), alerts.len() + 1);
}

#[test]
fn the_json_output_satisfies_the_schema() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telemetry.jsonl");
    let lines: String = Telemetry::healthy().0.iter().map(|row| row.to_string() + "\n").collect();
    fs::write(&file, lines).expect("a file");
    let output = check(&file, &["--output", "json"]);
    let data = read_output(&output.stdout, output.status.code());
    let (alerts, _) = deployed();
    let names = |list: &[Value], member: &str| list.iter().map(|item| item[member].clone()).collect::<Vec<_>>();
    assert_eq!(names(data.as_array().expect("a list"), "alert"), names(&alerts, "name"));
    let output = check(&file, &["--query", "batches", "--output", "json"]);
    assert!(!read_output(&output.stdout, output.status.code()).as_array().expect("a list").is_empty());
    let output = check(&file, &["--output", "jsonl"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), alerts.len());
}

#[test]
fn a_table_shows_the_control_characters_of_a_device_id_as_replacements() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telemetry.jsonl");
    let mut telemetry = Telemetry::healthy();
    telemetry.record(20, "a", &device("deviceSilent", "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}"));
    let lines: String = telemetry.0.iter().map(|row| row.to_string() + "\n").collect();
    fs::write(&file, lines).expect("a file");
    let output = check(&file, &["--query", "silent-devices"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(" \u{fffd}]0;x\u{fffd}\u{fffd}2J\u{fffd} "), "{text:?}");
}

fn device(record: &str, device: &str) -> Value {
    let mut fields = json!({
        "record": record, "timestamp": "2026-11-21T09:00:00.000Z", "level": "INFO", "deviceId": device,
        "silentSince": "2026-11-21T08:00:00.000Z", "silentMs": 3_600_000,
    });
    if record == "deviceBack" {
        fields["heard"] = "2026-11-21T09:00:00.000Z".into();
    }
    fields
}

#[test]
fn silent_devices_fires_until_they_are_back_or_for_the_window() {
    let fired = &["silent-devices"];
    let mut telemetry = Telemetry::healthy();
    telemetry.record(14, "a", &device("deviceSilent", "pump-1")).fires(&[]);
    telemetry.record(20, "a", &device("deviceSilent", "pump-2")).fires(fired);
    telemetry.record(21, "b", &device("deviceBack", "pump-2")).fires(&[]);
    telemetry.record(22, "a", &device("deviceSilent", "pump-2")).fires(fired);
    let mut telemetry = Telemetry::healthy();
    let summary = json!({
        "record": "silenceWatch", "examined": 9, "silent": 9, "back": 0, "rejected": 0, "isComplete": true,
        "requestUnits": 12.5,
    });
    telemetry.record(30, "a", &summary).fires(&[]);
}
