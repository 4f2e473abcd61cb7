mod bad_input;
mod description;
mod failures;
mod lists;
mod summaries;

use std::{collections::BTreeSet, sync::Arc};

use devicestate_engine::{
    device_state::document_id,
    store::{MemoryStore, StateStore},
};
use devicestate_test_doubles::{NOW, StoppedClock, T0, document, version};
use serde_json::{Value, json};

use super::*;

/// An API over a store in memory, on a stopped clock.
struct Rig {
    api: ReadApi,
}

impl Rig {
    /// Creates the API with these devices: each was heard this number of milliseconds after [`T0`], and has these readings.
    async fn new(devices: &[(&str, i64, Value)]) -> Self {
        let store = Arc::new(MemoryStore::default());
        for (id, number, readings) in devices {
            let document = document(&document_id(id), version(*number), readings);
            store.create(&document, &RequestCharge::default()).await.expect("a new document");
        }
        Self::over(store)
    }

    fn over(store: Arc<dyn StateStore>) -> Self {
        Self { api: ReadApi { store, indexed: IndexedFields::Every, clock: Arc::new(StoppedClock) } }
    }

    fn with_index(mut self, fields: &[&str]) -> Self {
        self.api.indexed = IndexedFields::Only(fields.iter().map(|field| (*field).to_owned()).collect::<BTreeSet<_>>());
        self
    }

    async fn get(&self, path: &str, query: &str) -> Response {
        self.get_unless(path, query, None).await
    }

    async fn get_unless(&self, path: &str, query: &str, if_none_match: Option<&str>) -> Response {
        let response = self.api.answer(&Request { method: "GET", path, query, if_none_match }).await;
        check(&response);
        response
    }

    /// Returns the body of an answer with status 200.
    async fn json(&self, path: &str, query: &str) -> Value {
        let response = self.get(path, query).await;
        assert_eq!(response.status, 200, "{path}?{query}: {}", response.body);
        serde_json::from_str(&response.body).expect("JSON")
    }

    /// Returns the status and the detail of a problem.
    async fn problem(&self, path: &str, query: &str) -> (u16, String) {
        problem(&self.get(path, query).await)
    }

    /// Returns the ids of the listed devices.
    async fn ids(&self, query: &str) -> Vec<String> {
        let list = self.json("", query).await;
        let ids = list["devices"].as_array().expect("a list").iter();
        ids.map(|device| device["id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn problem(response: &Response) -> (u16, String) {
    let body: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(body["status"], response.status);
    assert!(body["type"].is_string() && body["title"].is_string());
    (response.status, body["detail"].as_str().expect("a detail").to_owned())
}

/// Checks what every answer has.
fn check(response: &Response) {
    assert_eq!(response.header("cache-control"), Some("private, no-cache"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    let units = response.header("x-ms-request-charge").expect("request units");
    assert!(units.parse::<f64>().is_ok_and(|units| units >= 0.0), "{units}");
    assert_eq!(response.status == 304, response.body.is_empty());
}

#[tokio::test]
async fn a_device_has_its_readings_when_it_was_heard_and_on_request_the_versions() {
    let rig = Rig::new(&[("drone-1", 500, json!({ "battery": 0.5, "model": null }))]).await;
    let device = rig.json("/drone-1", "").await;
    let expected = json!({
        "id": "drone-1",
        "heard": "2024-11-21T00:46:40.500Z",
        "ageSeconds": (NOW - T0 - 500) / 1_000,
        "readings": { "battery": 0.5, "model": null },
    });
    assert_eq!(device, expected);
    let device = rig.json("/drone-1", "versions=true&select=battery,other&code=key").await;
    assert_eq!(device["readings"], json!({ "battery": 0.5 }));
    let source = version(500).source;
    let battery = json!({ "time": "2024-11-21T00:46:40.500Z", "sequenceNumber": 500, "source": source });
    assert_eq!(device["versions"], json!({ "battery": battery }));
}

#[tokio::test]
async fn a_state_that_the_caller_has_is_not_sent_again_until_it_changes() {
    let rig = Rig::new(&[("drone-1", 1, json!({ "battery": 0.5 }))]).await;
    let first = rig.get("/drone-1", "").await;
    let etag = first.header("etag").expect("a tag").to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    for matching in [&*etag, "*", &format!("\"x\", {etag}")] {
        let again = rig.get_unless("/drone-1", "", Some(matching)).await;
        assert_eq!((again.status, again.header("etag")), (304, Some(&*etag)), "{matching}");
    }
    assert_eq!(rig.get_unless("", "id=drone-1", Some(&etag)).await.status, 304);
    // Another part of the state has another tag.
    for query in ["versions=true", "select=battery"] {
        assert_eq!(rig.get_unless("/drone-1", query, Some(&etag)).await.status, 200, "{query}");
    }
    let stored = rig.api.store.read("drone-1", &RequestCharge::default()).await.expect("memory").expect("a document");
    rig.api.store.replace(&stored.document, &stored.etag, &RequestCharge::default()).await.expect("no other writer");
    assert_eq!(rig.get_unless("/drone-1", "", Some(&etag)).await.status, 200);
}

#[tokio::test]
async fn a_marked_device_says_since_when_it_is_silent_and_one_without_times_has_none() {
    let rig = Rig::new(&[("a", 1, json!({}))]).await;
    let stored = rig.api.store.read("a", &RequestCharge::default()).await.expect("memory").expect("a document");
    let mut marked = stored.document;
    marked.set_silent_since(Some(T0));
    rig.api.store.replace(&marked, &stored.etag, &RequestCharge::default()).await.expect("no other writer");
    assert_eq!(rig.json("/a", "").await["silentSince"], "2024-11-21T00:46:40.000Z");
    let old = serde_json::from_value(json!({ "id": "old", "x": 1 })).expect("a document of another program");
    rig.api.store.create(&old, &RequestCharge::default()).await.expect("a new document");
    let expected = json!({ "id": "old", "heard": null, "ageSeconds": null, "readings": { "x": 1 }, "versions": {} });
    assert_eq!(rig.json("/old", "versions=true").await, expected);
}
