use devicestate_engine::store::StoreError;
use devicestate_test_doubles::{ANY, Operation, ScriptedStore, StoreResponse};

use super::*;

/// Answers a request for a device whose read has this response.
async fn answer(response: StoreResponse) -> Response {
    let store = Arc::new(ScriptedStore::default());
    store.put(&document("a", version(1), &json!({}))).await;
    store.always(Operation::Read, ANY, response);
    Rig::over(store).get("/a", "").await
}

#[tokio::test]
async fn a_throttled_store_is_passed_on_with_whole_seconds() {
    for (delay, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (61_500, "62")] {
        let response = answer(StoreResponse::throttled(Duration::from_millis(delay))).await;
        assert_eq!((response.status, response.header("retry-after")), (429, Some(seconds)), "{delay} ms");
        assert_eq!(problem(&response).1, "the store limits the load: try again later");
    }
}

#[tokio::test]
async fn a_failed_store_is_503_without_its_secrets_and_an_invalid_document_500() {
    let secret = || "AccountKey=c2VjcmV0".to_owned();
    for (error, status, expected) in [
        (StoreError::Transient(secret()), 503, "the store cannot be reached or does not answer: try again"),
        (StoreError::Conflict, 503, "the store cannot be reached or does not answer: try again"),
        (StoreError::Systemic(secret()), 503, "the store refuses requests; the log of the handler has the reason"),
        (StoreError::Refused(secret()), 503, "the store refuses requests; the log of the handler has the reason"),
        (StoreError::BadRequest(secret()), 503, "the store refuses requests; the log of the handler has the reason"),
        (
            StoreError::Rejected(secret()),
            500,
            "the stored document of the device \"a\" is invalid; the log of the handler has the reason",
        ),
    ] {
        let response = answer(StoreResponse::Fail(error)).await;
        assert_eq!(problem(&response), (status, expected.to_owned()));
        assert_eq!(response.header("x-ms-request-charge"), Some("1.00"), "a failed read costs, too");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_given_up_within_the_budget() {
    let store = Arc::new(ScriptedStore::default());
    store.always(Operation::Read, ANY, StoreResponse::Stall);
    let rig = Rig::over(store);
    let request = Request { method: "GET", path: "/a", query: "", if_none_match: None };
    let started = tokio::time::Instant::now();
    let response = rig.api.answer_within(&request, Duration::from_secs(5)).await;
    assert_eq!(started.elapsed().as_secs(), 5);
    let expected = "the store has not answered within 5 s: try again, or select fewer devices";
    assert_eq!(problem(&response), (503, expected.to_owned()));
    assert_eq!(response.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let response = answer(StoreResponse::Panic).await;
    assert_eq!(problem(&response), (500, "the handler failed; its log has the reason".to_owned()));
}

#[tokio::test]
async fn a_failed_list_fails_the_list_and_the_summary() {
    let store = Arc::new(ScriptedStore::default());
    store.fail_lists(true);
    let rig = Rig::over(store);
    for path in ["", "/summary"] {
        assert_eq!(rig.problem(path, "").await.0, 503, "{path}");
    }
}
