//! Too slow, too large, broken: within its time, and nobody is blamed for what is not his fault.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use devicestate_engine::{
    dead_letter::{Overflow, OverflowCache, OverflowError},
    handler::{Handler, Response},
    processor::Processor,
    retry_decision::Attempts,
};
use devicestate_test_doubles::{
    ANY, Envelope,
    Operation::{Read, Write},
    Sent, StoreResponse, final_reply, processor, retry_body,
};

use crate::replies::{ID, answered, fleet, rig, sent_again};

#[tokio::test(start_paused = true)]
async fn a_store_too_slow_for_a_batch_makes_no_dead_letters_and_each_device_gets_its_turn() {
    let (store, handler) = rig();
    // Time enough to read 64 documents in an attempt, and not to write them all, too.
    let step = handler.processor.budget / 10;
    for operation in [Read, Write] {
        store.always(operation, ANY, StoreResponse::Slow(step));
    }
    let processor = Arc::new(Processor { concurrency: 8, ..processor(&store) });
    let handler = Handler { processor, attempts: Attempts::new(2), ..handler };
    let names: Vec<String> = (0..64).map(|number| format!("d{number}")).collect();
    let fleet = fleet(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for attempt in 0..20 {
        let answer = handler.invoke(ID, &fleet.retried(attempt).to_bytes()).await;
        if let Response::Complete(_) = answer {
            assert!(attempt >= 2, "longer than the attempts after which a device would be blamed, not {attempt}");
            assert_eq!(final_reply(answer).counts()[2], 0, "dead letters");
            return;
        }
    }
    panic!("some devices never got their turn");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_overflow_is_a_failure_of_the_batch_and_no_dead_process() {
    struct Panics;

    #[async_trait::async_trait]
    impl Overflow for Panics {
        async fn put(&self, _name: &str, _bytes: Vec<u8>) -> Result<String, OverflowError> {
            panic!("no more ink")
        }

        async fn get(&self, _location: &str) -> Result<Vec<u8>, OverflowError> {
            unreachable!("a handler reads none")
        }
    }

    let (_store, plain) = rig();
    let handler = Handler { overflow: Some(OverflowCache::new(Arc::new(Panics))), ..plain };
    let envelope = Envelope::new([Sent::new(7, vec![0; 90_000]), Sent::battery(8, "d", 0.5)]);
    for attempt in 0..4 {
        sent_again(&handler, &envelope.retried(attempt)).await;
    }
    let reply = answered(&handler, &envelope.retried(4)).await;
    assert_eq!(reply.counts(), [0, 0, 2]);
    assert!(reply.dead_letters[1].issue.contains("no more ink"), "{}", reply.dead_letters[1].issue);
}

#[tokio::test(start_paused = true)]
async fn an_overflow_that_never_answers_holds_an_invocation_no_longer_than_its_time() {
    struct Hangs;

    #[async_trait::async_trait]
    impl Overflow for Hangs {
        async fn put(&self, _name: &str, _bytes: Vec<u8>) -> Result<String, OverflowError> {
            std::future::pending().await
        }

        async fn get(&self, _location: &str) -> Result<Vec<u8>, OverflowError> {
            unreachable!("a handler reads none")
        }
    }

    let (_store, plain) = rig();
    let handler = Handler { overflow: Some(OverflowCache::new(Arc::new(Hangs))), ..plain };
    let budget = handler.processor.budget;
    let envelope = Envelope::new([Sent::new(7, vec![0; 90_000])]);
    let started = tokio::time::Instant::now();
    sent_again(&handler, &envelope.retried(0)).await;
    let reply = answered(&handler, &envelope.with_retry(None)).await;
    assert!(reply.dead_letters[0].event_data.body_cut.is_some());
    assert!(started.elapsed() <= 2 * (budget + Duration::from_millis(20)), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_nobodys_fault_also_when_a_device_of_the_batch_has_nothing_to_write() {
    let (store, handler) = rig();
    answered(&handler, &fleet(&["a"])).await;
    store.always(Write, ANY, StoreResponse::bad_request());
    sent_again(&handler, &fleet(&["a", "b", "c"]).retried(0)).await;
    store.clear_script();
    assert_eq!(answered(&handler, &fleet(&["a", "b", "c"]).retried(1)).await.counts(), [2, 1, 0]);
}

/// At the admin endpoint there is no place, and each attempt is an invocation with an id of its own.
#[tokio::test(start_paused = true)]
async fn a_batch_without_a_place_is_known_again_under_another_invocation_id() {
    let (store, plain) = rig();
    store.always(Write, ANY, StoreResponse::Panics);
    let handler = Handler { attempts: Attempts::new(2), ..plain };
    let request = |body: &str, count: i64| -> Bytes {
        let messages = serde_json::json!([BASE64.encode(body)]).to_string();
        let retry = serde_json::json!({"RetryCount": count, "MaxRetryCount": -1});
        serde_json::json!({"Data": {"messages": messages}, "Metadata": {"RetryContext": retry}}).to_string().into()
    };
    let (one, other) = (r#"{"deviceId":"a","battery":0.5}"#, r#"{"deviceId":"a","battery":0.25}"#);
    retry_body(handler.invoke("first", &request(one, 0)).await);
    retry_body(handler.invoke("of another batch", &request(other, 0)).await);
    let reply = final_reply(handler.invoke("second", &request(one, 1)).await);
    assert_eq!(reply.counts()[2], 1, "dead letters");
}
