//! The requests that tests build have the form of recorded ones.

use devicestate_test_support::{Batch, Event, form::assert_form, recording, session_message::SessionMessage};

#[test]
fn a_batch_has_the_form_of_a_recorded_one() {
    let recorded = |name: &str| recording(name).envelope();
    let event = |number| Event::new(number, "{}").partition_key("drone-1");
    let batch = Batch::of([event(1), event(2)]);
    assert_form(&batch.envelope(), &recorded("binary-many-json-without-retry"));
    assert_form(&batch.clone().retry(0, -1).envelope(), &recorded("binary-many-json-attempt-1"));
    assert_form(&batch.retry(1, -1).envelope(), &recorded("binary-many-json-attempt-2"));
    let without_key = Batch::of([Event::new(1, "{}"), event(2)]).retry(0, -1);
    assert_form(&without_key.envelope(), &recorded("binary-many-no-key-attempt-1"));
    let with_properties = Event::new(1, "{}")
        .system_property("message-id", "m-1")
        .system_property("correlation-id", "c-1")
        .content_type("application/json")
        .partition_key("drone-1");
    let with_properties = Batch::of([with_properties]).retry(0, -1);
    assert_form(&with_properties.envelope(), &recorded("binary-many-properties-attempt-1"));
}

#[test]
fn a_session_message_has_the_form_of_a_recorded_one() {
    let mut full = recording("servicebus-binary-one-full").envelope();
    for name in ["Subject", "Label", "To", "ReplyTo", "ReplyToSessionId", "CorrelationId"] {
        full["Metadata"].as_object_mut().expect("an object").remove(name).expect("what a sender need not set");
    }
    let message = SessionMessage { content_type: Some("application/json"), ..SessionMessage::new(2, "drone-1", "{}") };
    assert_form(&message.request(), &full);
    for (name, retries) in [
        ("servicebus-binary-one-retry-delivery-1-attempt-1", 0),
        ("servicebus-binary-one-retry-delivery-1-attempt-2", 1),
    ] {
        let mut request = SessionMessage::new(2, "drone-1", "{}").retried(retries, 2).request();
        request["Metadata"].as_object_mut().expect("an object").remove("PartitionKey").expect("a partition key");
        assert_form(&request, &recording(name).envelope());
    }
}
