//! What the handler tells about its work, by the schema in docs/.

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_support::{App, Batch, Event, Handler, read_record};
use serde_json::Value;

const INVOCATION: &str = "6b0a1c7e-0000-4000-8000-000000000001";

/// The records among the lines of a log.
fn records(log: &str) -> Vec<Value> {
    log.lines().filter(|line| line.contains(r#""record":"#)).map(read_record).collect()
}

fn battery(number: i64, device: &str) -> Event {
    Event::protobuf(number, Message::of(device).double(2, 0.5))
}

/// An attempt that fails, since a drill asks for it: what the answer says of it.
fn failed_attempt(handler: &Handler) -> Value {
    let batch = Batch::of([battery(7, "drilled"), battery(9, "other")]).retry(0, -1);
    let answer = handler.post(INVOCATION, batch.envelope().to_string().as_bytes());
    assert_eq!(answer.status, 503);
    read_record(answer.json()["Logs"][0].as_str().expect("a line"))
}

#[test]
fn each_handler_tells_once_that_it_is_ready() {
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
fn the_record_of_a_batch_says_where_it_came_from_and_which_events_it_had() {
    let app = App::shipped();
    let handler = app.start();
    let envelope = Batch::of([battery(7, "a"), battery(9, "b")]).envelope();
    let record = handler.invoke(&envelope).batch;
    let context = &envelope["Metadata"]["PartitionContext"];
    for (field, told) in [
        ("fullyQualifiedNamespace", "FullyQualifiedNamespace"),
        ("eventHubName", "EventHubName"),
        ("consumerGroup", "ConsumerGroup"),
        ("partitionId", "PartitionId"),
    ] {
        assert_eq!(record[field], context[told], "{field}");
        assert_ne!(record[field], "", "{field}");
    }
    assert_eq!((&record["firstSequenceNumber"], &record["lastSequenceNumber"]), (&7.into(), &9.into()));
    assert_eq!(record["invocationId"].as_str().map(str::len), Some(36), "{record}");
}

#[test]
fn a_failed_attempt_is_one_line_of_the_handlers_own_log_which_the_host_takes_for_a_warning() {
    let app = App::shipped().with("RetryDrillDevice", "drilled");
    let handler = app.start();
    let answered = failed_attempt(&handler);
    let errors = handler.stop();
    let [mut told] = <[Value; 1]>::try_from(records(&errors)).expect("one record");
    assert_eq!(told["level"], "WARN", "the host looks for this word");
    for of_the_log in ["level", "timestamp"] {
        told.as_object_mut().expect("an object").remove(of_the_log);
    }
    assert_eq!(told, answered);
    assert_eq!((&told["record"], &told["invocationId"]), (&"failedAttempt".into(), &INVOCATION.into()));
    assert_eq!((&told["unresolved"], &told["firstSequenceNumber"]), (&2.into(), &7.into()));
    assert!(records(&app.log()).iter().all(|record| record["record"] == "start"), "it is told once");
}

#[test]
fn the_level_of_the_log_counts_for_records_too() {
    for (level, starts, failed) in [("info", 1, 1), ("warn", 0, 1), ("error", 0, 0), ("off", 0, 0)] {
        let app = App::shipped().with("RetryDrillDevice", "drilled").with("LogLevel", level);
        let handler = app.start();
        failed_attempt(&handler);
        let errors = handler.stop();
        assert_eq!((records(&app.log()).len(), records(&errors).len()), (starts, failed), "{level}: {errors}");
    }
}

#[test]
fn a_log_that_nobody_reads_any_more_is_no_reason_to_end() {
    let app = App::shipped().with("RetryDrillDevice", "drilled");
    let mut handler = app.start_with_closed_stderr();
    for number in 1..=3 {
        // A dead letter goes into the log by itself, a failed attempt as a record.
        let reply = handler.invoke(&Batch::of([Event::new(number, "{")]).envelope());
        assert_eq!(reply.counts(), [1, 0, 0, 1]);
        failed_attempt(&handler);
    }
    assert!(handler.is_alive());
}
