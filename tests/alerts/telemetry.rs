//! Synthetic telemetry, row by row: 30 healthy minutes, and changes to it.

use devicestate_test_support::record_schema::read_record;
use serde_json::{Value, json};

use crate::support::firing;

/// The hour of the telemetry; it has the minutes 0 to 30.
const BEGIN: &str = "2026-11-21T09:";

/// Telemetry, row by row.
#[derive(Default)]
pub(crate) struct Telemetry(pub(crate) Vec<Value>);

impl Telemetry {
    /// Returns 30 healthy minutes: 100 events per minute in each of two partitions, all applied.
    pub(crate) fn healthy() -> Self {
        let mut telemetry = Self::default();
        telemetry.start(0, "a").start(0, "b").queue(0, 0, None);
        for minute in 0..=30 {
            telemetry.incoming(minute, 200);
            for partition in ["0", "1"] {
                telemetry.batch(minute, partition, &json!({}));
            }
        }
        telemetry
    }

    pub(crate) fn row(&mut self, minute: u32, mut row: Value) -> &mut Self {
        row["TimeGenerated"] = format!("{BEGIN}{minute:02}:00.000Z").into();
        self.0.push(row);
        self
    }

    pub(crate) fn metric(&mut self, minute: u32, name: &str, total: u64) -> &mut Self {
        self.row(minute, json!({ "Type": "AzureMetrics", "MetricName": name, "Total": total }))
    }

    pub(crate) fn incoming(&mut self, minute: u32, events: u64) -> &mut Self {
        self.metric(minute, "IncomingMessages", events)
    }

    /// Adds a record, which must satisfy the schema.
    pub(crate) fn record(&mut self, minute: u32, instance: &str, record: &Value) -> &mut Self {
        let message = record.to_string();
        read_record(&message);
        self.row(
            minute,
            json!({ "Type": "AppTraces", "Message": message, "AppRoleInstance": instance, "SeverityLevel": 1 }),
        )
    }

    /// Adds the batch of a partition's minute, with these fields changed.
    pub(crate) fn batch(&mut self, minute: u32, partition: &str, fields: &Value) -> &mut Self {
        let mut record = attempt("batch", minute, partition);
        merge(
            &mut record,
            &json!({ "applied": 100, "superseded": 0, "deadLettered": 0, "unrecognized": 0, "ignored": 0, "unusableDeviceTimes": 0 }),
        );
        merge(&mut record, fields);
        self.record(minute, "a", &record)
    }

    pub(crate) fn failed(&mut self, minute: u32, partition: &str, fields: &Value) -> &mut Self {
        let mut record = attempt("failedAttempt", minute, partition);
        merge(&mut record, &json!({ "unresolved": 100, "reason": "the store is down" }));
        merge(&mut record, fields);
        self.record(minute, "a", &record)
    }

    pub(crate) fn start(&mut self, minute: u32, instance: &str) -> &mut Self {
        let record = json!({
            "record": "start", "timestamp": "2026-11-21T09:00:00.000Z", "level": "INFO", "version": "0.1.0",
            "processId": 7, "port": 7071, "stateStore": "cosmos", "telemetry": "any JSON",
        });
        self.record(minute, instance, &record)
    }

    pub(crate) fn queue(&mut self, minute: u32, messages: u64, oldest_days: Option<f64>) -> &mut Self {
        #[expect(clippy::cast_possible_truncation, reason = "days in milliseconds")]
        let ms = |days: f64| (days * 86_400_000.0) as i64;
        let record = json!({
            "record": "deadLetterQueue", "queueName": "deadletterqueue", "messages": messages,
            "oldestAgeMs": oldest_days.map(ms), "expiresInMs": oldest_days.map(|days| ms(7.0 - days)),
        });
        self.record(minute, "a", &record)
    }

    /// Removes the rows that match.
    pub(crate) fn without(mut self, matches: impl Fn(&Value) -> bool) -> Self {
        self.0.retain(|row| !matches(row));
        self
    }

    /// Checks which alerts fire over the telemetry.
    #[track_caller]
    pub(crate) fn fires(&self, expected: &[&str]) {
        assert_eq!(firing(&self.0), expected);
    }
}

/// Returns the fields that all attempts have.
fn attempt(kind: &str, minute: u32, partition: &str) -> Value {
    let first = u64::from(minute) * 100;
    json!({
        "record": kind, "invocationId": "2b8c", "fullyQualifiedNamespace": "ns.servicebus.windows.net",
        "eventHubName": "telemetry", "consumerGroup": "devicestate", "partitionId": partition,
        "firstSequenceNumber": first, "lastSequenceNumber": first + 99, "attempt": 1, "events": 100,
        "records": 100, "devices": 10,
        "reads": 0, "writes": 10, "conflicts": 0, "retries": 0, "throttled": 0, "requestUnits": 60.0, "decodeMs": 0.2,
        "storeMs": 12.0, "lagMs": 900,
    })
}

fn merge(record: &mut Value, fields: &Value) {
    let record = record.as_object_mut().expect("an object");
    record.extend(fields.as_object().expect("an object").clone());
}

pub(crate) fn is_record(row: &Value) -> bool {
    row["Type"] == "AppTraces"
}

pub(crate) fn is_of_batch(row: &Value) -> bool {
    row["Message"].as_str().is_some_and(|message| message.contains("partitionId"))
}

pub(crate) fn is_of(row: &Value, partition: &str) -> bool {
    row["Message"].as_str().is_some_and(|message| message.contains(&format!(r#""partitionId":"{partition}""#)))
}

/// Returns the fields of a session message, to change a batch.
pub(crate) fn message() -> Value {
    json!({
        "fullyQualifiedNamespace": "bus.servicebus.windows.net", "eventHubName": "", "consumerGroup": "", "partitionId": "",
        "sessionQueueName": "sessions", "sessionId": "drone-7", "messageId": "m", "deliveryCount": 1,
        "firstSequenceNumber": 9_000_000, "lastSequenceNumber": 9_000_000, "events": 1, "records": 1, "devices": 1, "applied": 1,
        "superseded": 0, "deadLettered": 0,
    })
}
