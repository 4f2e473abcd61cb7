use devicestate_engine::{
    device_state::Document,
    store::{ETag, Page, Selection, StoreError, Stored},
};

use super::*;

async fn fleet() -> Rig {
    Rig::new(&[
        ("drone-1", 0, json!({ "battery": 0.1, "model": "X" })),
        ("drone-2", 30_000, json!({ "battery": 0.5, "model": "it's" })),
        ("drone-3", 60_000, json!({ "battery": "low" })),
        ("pump-1", 60_000, json!({ "flow": 3, "model": null })),
    ])
    .await
}

#[tokio::test]
async fn devices_are_selected_by_every_parameter() {
    let rig = fleet().await;
    for (query, expected) in [
        ("", &["drone-1", "drone-2", "drone-3", "pump-1"][..]),
        ("prefix=drone", &["drone-1", "drone-2", "drone-3"]),
        ("prefix=", &["drone-1", "drone-2", "drone-3", "pump-1"]),
        ("prefix=Drone", &[]),
        ("silent=1m", &["drone-1"]),
        ("silent=0s", &["drone-1", "drone-2", "drone-3", "pump-1"]),
        ("heardSince=30s", &["drone-2", "drone-3", "pump-1"]),
        ("heardSince=2024-11-21T00:47:10.001Z", &["drone-3", "pump-1"]),
        ("heardSince=30s&silent=30s", &["drone-2"]),
        ("where=battery%3C0.2", &["drone-1"]),
        ("where=battery%3C0.2+or+exists(flow)", &["drone-1", "pump-1"]),
        ("where=model%3D'it''s'&prefix=drone", &["drone-2"]),
        ("where=model!%3D'X'", &["drone-2"]),
        // Injections are texts or errors, never parts of a query.
        ("where=model%3D'X''+or+''1''%3D''1'", &[]),
    ] {
        assert_eq!(rig.ids(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_by_their_tokens_and_the_times_stay_the_same() {
    let rig = fleet().await;
    let mut ids = Vec::new();
    let mut query = "limit=1&silent=0s&select=model".to_owned();
    loop {
        let page = rig.json("", &query).await;
        ids.extend(page["devices"].as_array().expect("a list").iter().map(|device| device["id"].clone()));
        let Some(token) = page["continuation"].as_str() else { break };
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
        // The limit may change, and an API that was started again reads the token.
        query = format!("limit=2&silent=0s&continuation={token}&versions=true");
    }
    assert_eq!(ids, ["drone-1", "drone-2", "drone-3", "pump-1"]);
}

#[tokio::test]
async fn a_token_of_another_query_or_a_changed_one_is_refused() {
    let rig = fleet().await;
    let page = rig.json("", "limit=1&prefix=drone").await;
    let token = page["continuation"].as_str().expect("a token");
    let expected = "the parameter `continuation` is not the token of the previous page, or the other parameters have \
                    changed: begin again without it";
    for query in [
        format!("continuation={token}"),
        format!("continuation={token}&prefix=pump"),
        format!("continuation={token}&prefix=drone&where=a%3D1"),
        format!("continuation={}&prefix=drone", &token[1..]),
        "continuation=&prefix=drone".to_owned(),
        "continuation=%00&prefix=drone".to_owned(),
    ] {
        assert_eq!(rig.problem("", &query).await, (400, expected.to_owned()), "{query}");
    }
    assert_eq!(rig.ids(&format!("continuation={token}&prefix=drone")).await, ["drone-2", "drone-3"]);
}

#[tokio::test]
async fn a_page_has_the_default_limit_and_a_full_last_page_is_followed_by_an_empty_one() {
    let ids: Vec<_> = (0..200).map(|index| format!("d{index:03}")).collect();
    let devices: Vec<_> = ids.iter().map(|id| (id.as_str(), 1, json!({}))).collect();
    let rig = Rig::new(&devices).await;
    let mut lengths = Vec::new();
    let mut query = String::new();
    loop {
        let page = rig.json("", &query).await;
        lengths.push(page["devices"].as_array().expect("a list").len());
        let Some(token) = page["continuation"].as_str() else { break };
        query = format!("continuation={token}");
    }
    assert_eq!(lengths, [100, 100, 0]);
}

/// A store that examines one document for a page.
struct SlowStore(MemoryStore);

#[async_trait::async_trait]
impl StateStore for SlowStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        self.0.read(id, charge).await
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        self.0.create(document, charge).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        self.0.replace(document, if_match, charge).await
    }

    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError> {
        let mut page = self.0.list(Selection::every(selection.after, 1), charge).await?;
        page.documents.retain(|document| selection.filter.matches(document));
        page.is_partial = page.last_id.is_some();
        Ok(page)
    }
}

#[tokio::test]
async fn a_store_that_examines_few_documents_at_a_time_loses_none() {
    let store = MemoryStore::default();
    for id in ["a", "b", "c", "d"] {
        let readings = if id == "a" { json!({}) } else { json!({ "model": id }) };
        store.create(&document(id, version(1), &readings), &RequestCharge::default()).await.expect("a new document");
    }
    let rig = Rig::over(Arc::new(SlowStore(store)));
    let (mut pages, mut query) = (Vec::new(), "where=model!%3D'c'".to_owned());
    loop {
        pages.push(rig.ids(&query).await.concat());
        let page = rig.json("", &query).await;
        let Some(token) = page["continuation"].as_str() else { break };
        query = format!("where=model!%3D'c'&continuation={token}");
    }
    assert_eq!(pages, ["", "b", "", "d", ""]);
    let summary = rig.json("/summary", "by=model").await;
    assert_eq!(summary["by"]["values"].as_array().expect("values").len(), 3, "{summary}");
}

#[tokio::test]
async fn a_page_of_large_documents_ends_early_and_loses_none() {
    let large = json!({ "x": "x".repeat(3 << 20) });
    let rig = Rig::new(&["a", "b", "c"].map(|id| (id, 1, large.clone()))).await;
    let first = rig.json("", "").await;
    assert_eq!(first["devices"].as_array().expect("a list").len(), 2);
    let token = first["continuation"].as_str().expect("a token");
    assert_eq!(rig.ids(&format!("continuation={token}")).await, ["c"]);
}
