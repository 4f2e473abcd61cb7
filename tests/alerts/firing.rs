//! Which alerts fire over which telemetry: what they are for, and what comes near it and is none.

use std::fs;

use serde_json::json;

use crate::{
    support::{check, deployed},
    telemetry::{Telemetry, is_of, is_of_batch, is_record, message},
};

#[test]
fn where_all_is_well_and_where_nothing_is_nothing_fires() {
    Telemetry::healthy().fires(&[]);
    let mut nothing = Telemetry::default();
    nothing.queue(0, 0, None).fires(&[]);
    Telemetry::healthy().without(|row| !is_record(row)).fires(&[]);
    // That nobody looks at the queue is something.
    Telemetry::default().fires(&["dead-letters-expiring"]);
}

#[test]
fn input_without_output_fires_when_the_handler_is_dead() {
    Telemetry::healthy().without(is_of_batch).fires(&["no-output", "group-behind"]);
    Telemetry::healthy().without(is_record).fires(&["no-output", "group-behind", "dead-letters-expiring"]);
}

#[test]
fn it_fires_when_every_attempt_fails() {
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        telemetry.failed(minute, "0", &json!({ "lagMs": 200_000 }));
    }
    telemetry.fires(&["no-output", "group-behind"]);
}

#[test]
fn it_fires_when_everything_is_dead_lettered_though_that_is_output_too() {
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        for partition in ["0", "1"] {
            telemetry.batch(minute, partition, &json!({ "applied": 0, "deadLettered": 100 }));
        }
    }
    telemetry.fires(&["no-output", "dead-letter-rate"]);
}

#[test]
fn it_is_quiet_when_what_came_in_has_just_come_or_is_superseded() {
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
fn messages_of_sessions_hide_no_silence_of_the_hub_and_are_no_input_of_it() {
    let mut hub_is_dead = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        hub_is_dead.batch(minute, "", &message());
    }
    hub_is_dead.fires(&["no-output", "group-behind"]);
    // The metric has the same name in both services.
    let mut all_is_well = Telemetry::healthy();
    for minute in 0..=30 {
        let row = json!({
            "Type": "AzureMetrics", "ResourceProvider": "MICROSOFT.SERVICEBUS", "MetricName": "IncomingMessages", "Total": 5000,
        });
        all_is_well.row(minute, row);
    }
    all_is_well.fires(&[]);
}

#[test]
fn the_group_is_behind_when_one_partition_stands_still_or_tells_nothing() {
    Telemetry::healthy().without(|row| is_of(row, "1")).fires(&["group-behind"]);
}

#[test]
fn one_silent_partition_of_many_is_seen_when_it_was_busy_and_others_are() {
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
    // With an event a minute it may well be that nobody has sent any.
    of_partitions(19, 1).fires(&[]);
}

#[test]
fn numbers_that_begin_again_in_a_hub_that_was_made_anew_are_no_progress() {
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    let old = json!({ "firstSequenceNumber": 5_000_000, "lastSequenceNumber": 5_000_099 });
    telemetry.batch(1, "0", &old).batch(2, "0", &json!({ "firstSequenceNumber": 0, "lastSequenceNumber": 99 }));
    telemetry.fires(&["no-output", "group-behind"]);
}

#[test]
fn numbers_that_begin_again_in_the_namespace_of_another_region_are_its_own() {
    let mut telemetry = Telemetry::healthy();
    let other = json!({
        "fullyQualifiedNamespace": "standby.servicebus.windows.net", "firstSequenceNumber": 0, "lastSequenceNumber": 99,
    });
    telemetry.incoming(30, 100).batch(30, "0", &other);
    telemetry.fires(&[]);
}

#[test]
fn lag_counts_by_the_newest_word_of_each_partition_whether_or_not_it_gets_on() {
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
fn lag_is_near_the_retention_from_its_half_on() {
    let hours = |hours: i64| json!({ "lagMs": hours * 3_600_000 });
    let mut telemetry = Telemetry::healthy();
    telemetry.batch(30, "2", &hours(83)).fires(&["lag"]);
    telemetry.batch(30, "3", &hours(85)).fires(&["lag", "lag-near-retention"]);
}

#[test]
fn dead_letters_fire_above_one_in_a_hundred() {
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
fn dead_letters_expire_behind_their_sixth_day_by_the_last_look_at_the_queue() {
    let mut telemetry = Telemetry::healthy();
    telemetry.queue(28, 3, Some(5.9)).fires(&[]);
    telemetry.queue(29, 3, Some(6.1)).fires(&["dead-letters-expiring"]);
    telemetry.queue(30, 0, None).fires(&[]);
}

#[test]
fn what_is_forgotten_next_counts_before_what_lies_there_longer_and_stays() {
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
fn throttling_fires_by_its_share_of_the_operations_of_all_attempts() {
    let mut telemetry = Telemetry::healthy();
    telemetry.failed(30, "2", &json!({ "reads": 0, "writes": 60, "throttled": 40 })).fires(&["documents-throttled"]);
    let mut telemetry = Telemetry::healthy();
    telemetry.failed(30, "2", &json!({ "reads": 0, "writes": 60, "throttled": 20 })).fires(&[]);
    let mut telemetry = Telemetry::healthy();
    telemetry.metric(30, "ThrottledRequests", 1).fires(&["stream-throttled"]);
}

#[test]
fn an_iot_hub_has_other_names_for_what_it_takes_and_refuses() {
    let mut telemetry = Telemetry::default();
    telemetry.queue(0, 0, None).metric(19, "d2c.endpoints.egress.builtIn.events", 200).metric(
        30,
        "d2c.telemetry.ingress.sendThrottle",
        1,
    );
    telemetry.fires(&["no-output", "group-behind", "stream-throttled"]);
}

#[test]
fn what_is_in_the_sub_queue_fires_as_long_as_it_is_there() {
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
fn a_metric_of_which_rows_do_not_tell_the_status_code_is_not_guessed() {
    let mut telemetry = Telemetry::healthy();
    telemetry.metric(30, "TotalRequests", 50_000).fires(&[]);
}

#[test]
fn a_second_start_of_one_instance_is_a_restart_and_an_instance_that_is_added_is_none() {
    let mut telemetry = Telemetry::healthy();
    telemetry.start(20, "c").fires(&[]);
    telemetry.start(30, "c").fires(&["handler-restarts"]);
    let mut telemetry = Telemetry::healthy();
    telemetry.start(30, "a").fires(&[]);
}

#[test]
fn what_is_checked_can_be_narrowed_and_says_how_it_went_by_its_exit_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telemetry.jsonl");
    let mut telemetry = Telemetry::healthy();
    telemetry.metric(29, "ThrottledRequests", 3).incoming(30, 0);
    // The last line is being written.
    let lines: String = telemetry.0.iter().map(|row| row.to_string() + "\n").collect();
    fs::write(&file, lines + r#"{"Type":"AppTra"#).expect("a file");
    for (options, code, told) in [
        (&["--alert", "stream-throttled"][..], 1, "fires"),
        (&["--alert", "stream-throttled", "--window", "30s"], 0, "quiet"),
        (&["--alert", "stream-throttled", "--until", "fires"], 0, "fires"),
        (&["--alert", "stream-throttled", "--until", "quiet", "--within", "1s"], 1, "fires"),
        (&["--query", "costs"], 0, "requestUnitsPerEvent"),
        (&["--query", "costs", "--format", "json"], 0, "\"requestUnitsPerEvent\": 0.6"),
        (&["--alert", "none"], 2, "--alert is one of no-output"),
        (&["--query", "none"], 2, "--query is one of batches"),
        (&["--until", "fires"], 2, "--alert"),
        (&["--window", "soon", "--alert", "lag"], 2, "soon is no timespan"),
        (&["--nonsense"], 2, "--nonsense"),
        (&["--help"], 0, "Exit codes"),
    ] {
        let output = check(&file, options);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
        assert!(said.contains(told), "{options:?}: {said}");
    }
    let output = check(&folder.path().join("nothing"), &[]);
    assert_eq!(output.status.code(), Some(2));
    for (content, told) in [("# no JSON\n", "line 1, is no JSON"), ("{\"a\":1}\n", "has no row of telemetry")] {
        fs::write(&file, content).expect("a file");
        let output = check(&file, &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(told) && errors.lines().count() == 1, "{errors}");
    }
}

#[test]
fn alerts_are_told_in_a_table_that_lines_up_with_the_page_of_each() {
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
