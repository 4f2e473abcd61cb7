//! The handler's records, which must satisfy the schema in `docs/reference`.

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_support::{App, Batch, Event, Framing, Handler, SESSIONS, read_record};
use serde_json::{Value, json};

const INVOCATION: &str = "6b0a1c7e-0000-4000-8000-000000000001";

/// Returns the records in a log.
fn records(log: &str) -> Vec<Value> {
    log.lines().filter(|line| line.contains(r#""record":"#)).map(read_record).collect()
}

fn battery(number: i64, device: &str) -> Event {
    Event::protobuf(number, Message::with_device(device).double(2, 0.5))
}

/// Runs an attempt that fails because of the drill. Returns the record in the reply.
fn failed_attempt(handler: &Handler) -> Value {
    let batch = Batch::of([battery(7, "drilled"), battery(9, "other")]).retry(0, -1);
    let response = handler.post(INVOCATION, batch.envelope().to_string().as_bytes());
    assert_eq!(response.status, 503);
    read_record(response.json()["Logs"][0].as_str().expect("a line"))
}

#[test]
fn each_handler_records_its_start_once() {
    let app = App::shipped();
    for starts in 1..=2 {
        let errors = app.start().stop();
        let log = app.log();
        let records = records(&log);
        assert_eq!(records.len(), starts, "{log}{errors}");
        assert!(records.iter().all(|record| record["record"] == "start" && record["stateStore"] == "sqlite"));
    }
    let [first, second] = records(&app.log()).try_into().expect("two records");
    assert_ne!(first["processId"], second["processId"]);
}

#[test]
fn the_record_of_a_batch_has_its_source_and_sequence_numbers() {
    let app = App::shipped();
    let handler = app.start();
    let envelope = Batch::of([battery(7, "a"), battery(9, "b")]).envelope();
    let record = handler.invoke(&envelope).batch;
    let context = &envelope["Metadata"]["PartitionContext"];
    for (field, source) in [
        ("fullyQualifiedNamespace", "FullyQualifiedNamespace"),
        ("eventHubName", "EventHubName"),
        ("consumerGroup", "ConsumerGroup"),
        ("partitionId", "PartitionId"),
    ] {
        assert_eq!(record[field], context[source], "{field}");
        assert_ne!(record[field], "", "{field}");
    }
    assert_eq!((&record["firstSequenceNumber"], &record["lastSequenceNumber"]), (&7.into(), &9.into()));
    assert_eq!(record["invocationId"].as_str().map(str::len), Some(36), "{record}");
}

#[test]
fn a_failed_attempt_is_logged_once_as_a_warning() {
    let app = App::shipped().with("RetryDrillDevice", "drilled");
    let handler = app.start();
    let replied = failed_attempt(&handler);
    let errors = handler.stop();
    let [mut logged] = <[Value; 1]>::try_from(records(&errors)).expect("one record");
    assert_eq!(logged["level"], "WARN", "the host searches for this word");
    for log_field in ["level", "timestamp"] {
        logged.as_object_mut().expect("an object").remove(log_field);
    }
    assert_eq!(logged, replied);
    assert_eq!((&logged["record"], &logged["invocationId"]), (&"failedAttempt".into(), &INVOCATION.into()));
    assert_eq!((&logged["unresolved"], &logged["firstSequenceNumber"]), (&2.into(), &7.into()));
    assert!(records(&app.log()).iter().all(|record| record["record"] == "start"), "the failed attempt is logged once");
}

/// The host logs the records of a reply, linked to the invocation. A line of the handler's own log would be a second one.
#[test]
fn the_records_of_a_reply_are_not_in_the_log_of_the_handler() {
    let app = App::shipped();
    let handler = app.start();
    let reply = handler.invoke(&Batch::of([battery(7, "a"), Event::new(8, "{")]).envelope());
    assert_eq!((reply.counts(), reply.records.len()), ([2, 1, 0, 1], 1));
    assert_eq!(handler.stop(), "");
    let records = records(&app.log());
    assert!(records.iter().all(|record| record["record"] == "start"), "{records:?}");
    assert_eq!(records.len(), 1);
}

/// The queries of the alerts take each line that is an object with a `record` for one of the handler's.
#[test]
fn a_record_that_an_event_contains_is_not_a_record_of_the_log() {
    let app = App::shipped();
    let handler = app.start();
    let forged = "x\n{\"record\":\"batch\",\"deadLettered\":9999}\n";
    let body = serde_json::json!({"deviceId": forged, "battery": forged, forged: forged});
    let events = [Event::json(7, &body).partition_key(forged), Event::new(8, forged).partition_key(forged)];
    let mut envelope = Batch::of(events).envelope();
    // A time far ahead is logged with the device id, as a line that is not a record.
    envelope["Metadata"]["EnqueuedTimeUtcArray"] = r#"["2999-01-01T00:00:00","2999-01-01T00:00:00"]"#.into();
    let reply = handler.invoke(&envelope);
    assert_eq!(reply.counts(), [2, 0, 0, 2]);
    let ahead = Event::json(9, &serde_json::json!({"deviceId": forged, "battery": 1}));
    let mut envelope = Batch::of([ahead]).envelope();
    envelope["Metadata"]["EnqueuedTimeUtcArray"] = r#"["2999-01-01T00:00:00"]"#.into();
    handler.invoke(&envelope).assert_all_applied(1);
    assert!(reply.records.iter().all(|record| record["record"] == "deadLetter"), "{:?}", reply.records);
    let lines = handler.stop() + &app.log();
    assert!(lines.contains("is ahead of this machine's clock") && lines.contains("9999"), "{lines}");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    let kinds: Vec<_> = lines.filter_map(|line| line["record"].as_str().map(str::to_owned)).collect();
    assert!(kinds.iter().all(|kind| kind == "start"), "{kinds:?}");
}

#[test]
fn the_log_level_applies_to_records() {
    for (level, starts, failed) in [("info", 1, 1), ("warn", 0, 1), ("error", 0, 0), ("off", 0, 0)] {
        let app = App::shipped().with("RetryDrillDevice", "drilled").with("LogLevel", level);
        let handler = app.start();
        failed_attempt(&handler);
        let errors = handler.stop();
        assert_eq!((records(&app.log()).len(), records(&errors).len()), (starts, failed), "{level}: {errors}");
    }
}

/// Returns the warnings of a start that are about `host.json`.
fn warnings_about_host_json(app: &App) -> Vec<String> {
    let errors = app.start().stop();
    errors.lines().filter(|line| line.contains(" of host.json")).map(str::to_owned).collect()
}

/// Without the records, alerts and saved queries see nothing.
#[test]
fn a_host_that_drops_or_samples_the_records_is_a_warning_at_the_start() {
    assert_eq!(warnings_about_host_json(&App::shipped()), [""; 0]);
    let all = App::shipped().with_host(|host| host["logging"]["logLevel"] = json!({"default": "Warning"}));
    let [warning] = &warnings_about_host_json(&all)[..] else { panic!("one warning") };
    let words = "Function.SessionTelemetryFunction.User, Function.SilenceWatchFunction.User, Host.Function.Console, so";
    assert!(warning.contains(words) && warning.contains(r#""level":"WARN""#), "{warning}");

    let setting = "AzureFunctionsJobHost__logging__logLevel__Function.RawTelemetryFunction.User";
    let one = App::shipped().with(setting, "Error").with(&format!("AzureWebJobs.{SESSIONS}.Disabled"), "true");
    let [warning] = &warnings_about_host_json(&one)[..] else { panic!("one warning") };
    assert!(warning.contains("the records in Function.RawTelemetryFunction.User, so"), "{warning}");

    let of_func_init = json!({"isEnabled": true, "excludedTypes": "Request"});
    let sampled =
        App::shipped().with_host(|host| host["logging"]["applicationInsights"]["samplingSettings"] = of_func_init);
    let [warning] = &warnings_about_host_json(&sampled)[..] else { panic!("one warning") };
    assert!(warning.contains("samples the records"), "{warning}");
}

#[test]
fn a_closed_log_does_not_end_the_handler() {
    let app = App::shipped().with("RetryDrillDevice", "drilled");
    let mut handler = app.start_with_closed_stderr();
    for number in 1..=3 {
        // The handler logs an unknown function as a line, and a failed attempt as a record.
        assert_eq!(handler.call("Unknown", INVOCATION, b"{}", Framing::Length).status, 404);
        failed_attempt(&handler);
        let reply = handler.invoke(&Batch::of([Event::new(number, "{")]).envelope());
        assert_eq!(reply.counts(), [1, 0, 0, 1]);
    }
    assert!(handler.is_alive());
}
