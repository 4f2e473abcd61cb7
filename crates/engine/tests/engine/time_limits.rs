//! Slow stores, failing overflows and invalid settings: invocations end in time, and no device counts as failed for them.

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

use crate::retries::{ID, fleet, invoke_final, invoke_retried, rig};

#[tokio::test(start_paused = true)]
async fn a_slow_store_makes_no_dead_letters() {
    let (store, handler) = rig();
    // The time is enough to read 64 documents in an attempt, but not to write them all.
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
            assert!(attempt >= 2, "completed in attempt {attempt}, before a failing device would be dead-lettered");
            assert_eq!(final_reply(answer).counts()[2], 0, "dead letters");
            return;
        }
    }
    panic!("the batch was not completed in 20 attempts");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_overflow_fails_only_the_batch() {
    struct PanickingOverflow;

    #[async_trait::async_trait]
    impl Overflow for PanickingOverflow {
        async fn put(&self, _name: &str, _bytes: Vec<u8>) -> Result<String, OverflowError> {
            panic!("the disk is full")
        }

        async fn get(&self, _location: &str) -> Result<Vec<u8>, OverflowError> {
            unreachable!("a handler never reads the overflow")
        }
    }

    let (_store, plain) = rig();
    let handler = Handler { overflow: Some(OverflowCache::new(Arc::new(PanickingOverflow))), ..plain };
    let envelope = Envelope::new([Sent::new(7, vec![0; 90_000]), Sent::battery(8, "d", 0.5)]);
    for attempt in 0..4 {
        invoke_retried(&handler, &envelope.retried(attempt)).await;
    }
    let reply = invoke_final(&handler, &envelope.retried(4)).await;
    assert_eq!(reply.counts(), [0, 0, 2]);
    assert!(reply.dead_letters[1].issue.contains("the disk is full"), "{}", reply.dead_letters[1].issue);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_overflow_ends_within_the_time_limit() {
    struct StalledOverflow;

    #[async_trait::async_trait]
    impl Overflow for StalledOverflow {
        async fn put(&self, _name: &str, _bytes: Vec<u8>) -> Result<String, OverflowError> {
            std::future::pending().await
        }

        async fn get(&self, _location: &str) -> Result<Vec<u8>, OverflowError> {
            unreachable!("a handler never reads the overflow")
        }
    }

    let (_store, plain) = rig();
    let handler = Handler { overflow: Some(OverflowCache::new(Arc::new(StalledOverflow))), ..plain };
    let budget = handler.processor.budget;
    let envelope = Envelope::new([Sent::new(7, vec![0; 90_000])]);
    let started = tokio::time::Instant::now();
    invoke_retried(&handler, &envelope.retried(0)).await;
    let reply = invoke_final(&handler, &envelope.with_retry(None)).await;
    assert!(reply.dead_letters[0].event_data.body_cut.is_some());
    assert!(started.elapsed() <= 2 * (budget + Duration::from_millis(20)), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_systemic_even_if_another_device_has_nothing_to_write() {
    let (store, handler) = rig();
    invoke_final(&handler, &fleet(&["a"])).await;
    store.always(Write, ANY, StoreResponse::bad_request());
    invoke_retried(&handler, &fleet(&["a", "b", "c"]).retried(0)).await;
    store.clear_script();
    assert_eq!(invoke_final(&handler, &fleet(&["a", "b", "c"]).retried(1)).await.counts(), [2, 1, 0]);
}

/// Requests of the admin endpoint have no positions, and each attempt has another invocation id.
#[tokio::test(start_paused = true)]
async fn a_batch_without_positions_has_the_same_key_in_each_invocation() {
    let (store, plain) = rig();
    store.always(Write, ANY, StoreResponse::Panic);
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
