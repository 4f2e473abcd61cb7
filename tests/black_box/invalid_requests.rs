//! Requests that are not an envelope: the host retries them, and the last attempt dead-letters the complete request.

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_support::{App, Batch, Event, Handler, Reply, from_base64};

/// Bodies that are not an envelope of the host.
const INVALID_ENVELOPES: [&str; 8] = [
    "not json",
    "",
    "null",
    "[]",
    "{}",
    r#"{"Data":{}}"#,
    r#"{"Data":{"other":"[]"},"Metadata":{}}"#,
    r#"{"Data":{"messages":"not an array"},"Metadata":{}}"#,
];

/// Returns whether the handler's reply makes the host retry the request.
fn will_retry(handler: &Handler, invocation_id: &str, body: &[u8]) -> bool {
    handler.post(invocation_id, body).status == 503
}

#[track_caller]
fn assert_dead_lettered(handler: &Handler, invocation_id: &str, body: &[u8], attempt: i64) {
    let reply = Reply::from_response(&handler.post(invocation_id, body));
    assert_eq!(reply.counts(), [1, 0, 0, 1]);
    let letter = reply.dead_letter();
    assert_eq!(letter["Stage"], "envelope");
    assert_eq!((&letter["InvocationId"], &letter["Attempt"]), (&invocation_id.into(), &attempt.into()));
    assert_eq!(from_base64(letter["EventData"]["Body"].as_str().expect("a body")), body);
    assert!(letter["Issue"].as_str().is_some_and(|issue| issue.starts_with("the request")), "{letter}");
}

#[test]
fn an_invalid_envelope_is_dead_lettered_in_the_fifth_attempt() {
    let app = App::shipped();
    let handler = app.start();
    for (number, body) in INVALID_ENVELOPES.iter().enumerate() {
        let id = format!("6b0a1c7e-{number:04}");
        for attempt in 1..=4 {
            assert!(will_retry(&handler, &id, body.as_bytes()), "{body:?}, attempt {attempt}");
        }
        assert_dead_lettered(&handler, &id, body.as_bytes(), 5);
    }
}

#[test]
fn the_number_of_attempts_is_a_setting() {
    let app = App::shipped().with("DeadLetterAfterAttempts", "2");
    let handler = app.start();
    assert!(will_retry(&handler, "6b0a", b"not json"));
    assert_dead_lettered(&handler, "6b0a", b"not json", 2);
}

#[test]
fn attempts_are_counted_per_invocation() {
    let app = App::shipped().with("DeadLetterAfterAttempts", "2");
    let handler = app.start();
    for id in ["a", "b", "c"] {
        assert!(will_retry(&handler, id, b"not json"), "{id}");
    }
    assert_dead_lettered(&handler, "b", b"not json", 2);
    assert!(will_retry(&handler, "b", b"not json"), "after the dead letter, the count starts at one");
}

#[test]
fn without_a_retry_policy_an_invalid_envelope_is_dead_lettered_immediately() {
    let app = App::shipped().with_function(|function| {
        function.as_object_mut().expect("an object").remove("retry");
    });
    let handler = app.start();
    for body in INVALID_ENVELOPES {
        assert_dead_lettered(&handler, "6b0a", body.as_bytes(), 1);
    }
}

#[test]
fn with_a_limited_retry_policy_an_invalid_envelope_is_dead_lettered_immediately() {
    let app = App::shipped().with_function(|function| function["retry"]["maxRetryCount"] = 3.into());
    assert_dead_lettered(&app.start(), "6b0a", b"not json", 1);
}

#[test]
fn an_invalid_envelope_does_not_delay_other_requests() {
    let app = App::shipped();
    let handler = app.start();
    assert!(will_retry(&handler, "6b0a", b"not json"));
    let valid = Batch::of([Event::protobuf(1, Message::with_device("d").double(2, 0.5))]);
    handler.invoke(&valid.envelope()).assert_all_applied(1);
}

#[test]
fn poison_is_dead_lettered_in_the_first_attempt_under_any_policy() {
    let app = App::shipped();
    let handler = app.start();
    for batch in [Batch::of([Event::new(1, "{")]).retry(0, -1), Batch::of([Event::new(2, "{")]).retry(0, 3)] {
        assert_eq!(handler.invoke(&batch.envelope()).dead_letter()["Attempt"], 1);
    }
}

#[test]
fn without_an_invocation_id_the_first_attempt_is_the_last() {
    let app = App::shipped();
    assert_dead_lettered(&app.start(), "", b"not json", 1);
}

#[test]
fn an_excessive_invocation_id_is_not_kept_or_repeated() {
    let app = App::shipped();
    let handler = app.start();
    let longest = "6".repeat(100);
    assert!(will_retry(&handler, &longest, b"not json"));
    let reply = Reply::from_response(&handler.post(&"6".repeat(101), b"not json"));
    assert_eq!(reply.dead_letter()["InvocationId"], "", "as without an id");
    assert_eq!(reply.batch["invocationId"], "");
}

#[test]
fn an_answer_repeats_at_most_the_beginning_of_a_request() {
    let app = App::shipped();
    let handler = app.start();
    let long = "x".repeat(1 << 20);
    let names: Vec<_> = (0..20_000).map(|n| format!("\"name-{n}\":1")).collect();
    let bodies = [
        format!("{{\"Data\":{{\"{long}\":\"[]\"}}}}"),
        format!("{{\"Data\":{{{}}}}}", names.join(",")),
        format!("{{\"Data\":\"{long}\"}}"),
        format!("{{\"Data\":{{}},\"Metadata\":\"{long}\"}}"),
        format!("{{\"Data\":{{\"messages\":\"\\\"{long}\\\"\"}}}}"),
        format!("\"{long}\""),
        long.clone(),
    ];
    for (number, body) in bodies.iter().enumerate() {
        let response = handler.post(&format!("6b0a-{number}"), body.as_bytes());
        assert_eq!(response.status, 503, "{}", &body[..30]);
        assert!(response.body.len() < 5_000, "{}: {} bytes", &body[..30], response.body.len());
        let error = response.json()["error"].as_str().expect("text").to_owned();
        assert!(error.contains("the request"), "{error}");
    }
    let errors = handler.stop();
    assert!(errors.len() < 50_000, "{} bytes", errors.len());
}
