//! `RetryDrillDevice`: a batch that fails on purpose, to verify that the host retries it.

use devicestate_test_support::{App, Batch, Event, Reply, recording, retry_context};
use serde_json::json;

/// A batch with an event of the drill's device and one of another device.
fn batch() -> Batch {
    Batch::of([
        Event::json(1, &json!({"deviceId": "drone-1", "battery": 0.5})),
        Event::json(2, &json!({"deviceId": "smoke-test", "battery": 0.25})),
    ])
}

fn app() -> App {
    App::shipped().with("RetryDrillDevice", "smoke-test")
}

#[test]
fn the_drill_fails_only_the_first_attempt() {
    let app = app();
    let handler = app.start();
    let response = handler.post("6b0a", batch().retry(0, -1).envelope().to_string().as_bytes());
    assert_eq!(response.status, 503);
    assert!(String::from_utf8_lossy(&response.body).contains("RetryDrillDevice"), "the answer says why");
    assert_eq!((handler.state("smoke-test"), handler.state("drone-1")), (None, None), "nothing is written");

    let reply = handler.invoke(&batch().retry(1, -1).envelope());
    reply.assert_all_applied(2);
    assert_eq!(reply.batch["attempt"], 2);
    assert_eq!(handler.readings("smoke-test")["Battery"], 0.25);
}

#[test]
fn the_drill_fails_the_first_attempt_from_the_admin_endpoint() {
    let app = App::shipped().with("RetryDrillDevice", "admin-1");
    let handler = app.start();
    let mut envelope = recording("binary-many-admin-1").envelope();
    for (count, status) in [(0, 503), (1, 200)] {
        envelope["Metadata"]["RetryContext"] = retry_context(count, -1);
        assert_eq!(handler.post("6b0a", envelope.to_string().as_bytes()).status, status, "RetryCount {count}");
    }
}

#[test]
fn a_batch_without_the_device_does_not_fail() {
    let app = app();
    let handler = app.start();
    let others = Batch::of([Event::json(1, &json!({"deviceId": "smoke", "battery": 0.5}))]).retry(0, -1);
    handler.invoke(&others.envelope()).assert_all_applied(1);
}

#[test]
fn a_batch_that_is_not_retried_does_not_fail() {
    let app = app();
    let handler = app.start();
    for envelope in [batch().envelope(), batch().retry(0, 0).envelope()] {
        let reply = Reply::from_response(&handler.post("6b0a", envelope.to_string().as_bytes()));
        assert_eq!(reply.counts()[0], 2, "received");
        assert_eq!(reply.counts()[3], 0, "dead-lettered");
    }
}

#[test]
fn without_the_setting_no_batch_fails() {
    let app = App::shipped();
    let handler = app.start();
    handler.invoke(&batch().retry(0, -1).envelope()).assert_all_applied(2);
}
