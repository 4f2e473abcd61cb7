//! Dead letters of Service Bus sessions.

use std::sync::Arc;

use devicestate_dead_letters::{Candidate, ReplayOutcome, Replayer};
use devicestate_engine::{
    batch::{Batch, Event},
    clock::{Clock as _, System},
    dead_letter::{Attempt, DeadLetter},
    failure::{ErrorClass, Failure, Stage},
};
use devicestate_test_doubles::{
    handler as handler_of, processor,
    sessions::{invoke_final, rig, trigger},
};
use devicestate_test_support::session_message::SessionMessage;

/// Returns the dead letter of a complete request, as the handler writes it if function.json does not match the request.
fn complete_request(message: &SessionMessage) -> DeadLetter {
    let batch = Batch { events: vec![Event { body: message.to_bytes(), ..Default::default() }], ..Default::default() };
    let failure = Failure {
        stage: Stage::Envelope,
        class: ErrorClass::Poison,
        issue: "it could not be read".into(),
        device_id: None,
        device_state: None,
        other_devices: Vec::new(),
    };
    let time_ms = System.now_ms();
    let attempt = Attempt { invocation_id: "6b0a", number: 1, time_ms, telemetry: "drone" };
    DeadLetter::new(&batch, 0, &failure, attempt)
}

#[tokio::test(start_paused = true)]
async fn a_complete_request_is_replayed_by_its_trigger_under_the_version_of_its_message() {
    let (store, handler) = rig();
    let hub_trigger = handler_of(processor(&store)).function.trigger;
    let replayer = Replayer {
        processor: Arc::clone(&handler.processor),
        overflow: None,
        triggers: vec![hub_trigger, trigger()],
        accepts_other_telemetry: false,
    };
    let letter = complete_request(&SessionMessage::battery(1, "a", 0.5));
    let candidate = Candidate { letter: &letter, edited: None };
    assert_eq!(replayer.replay(&[candidate]).await, [ReplayOutcome::Applied]);
    // The message itself, if delivered later, is the same event.
    let reply = invoke_final(&handler, &SessionMessage::battery(1, "a", 0.5)).await;
    assert_eq!(reply.counts(), [0, 1, 0]);
}
