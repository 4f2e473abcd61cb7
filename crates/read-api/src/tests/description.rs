use std::{env, fs, path::PathBuf};

use super::*;

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json"))
}

#[test]
fn the_committed_description_is_that_of_the_code() {
    let generated = openapi::document();
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(path(), &generated).expect("a file of the repository");
    }
    let committed = fs::read_to_string(path()).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/reference/openapi.json is not that of the code; run UPDATE_OPENAPI=1 cargo test -p devicestate-read-api description"
    );
}

/// Returns the schema of the answers of a path with a status and a content type.
fn validator(description: &Value, path: &str, status: u16, content_type: &str) -> jsonschema::Validator {
    let mut response = &description["paths"][path]["get"]["responses"][status.to_string()];
    if let Some(reference) = response["$ref"].as_str() {
        response = description.pointer(reference.trim_start_matches('#')).expect("a response");
    }
    let schema = &response["content"][content_type]["schema"];
    assert!(schema.is_object(), "{path} {status} {content_type}: {response}");
    let mut root = description.clone();
    root["$ref"] = schema["$ref"].clone();
    // The schema is a part of the description, so that its references are found.
    jsonschema::draft202012::new(&root).expect("a schema")
}

#[tokio::test]
async fn real_answers_have_the_described_forms() {
    let description: Value = serde_json::from_str(&openapi::document()).expect("JSON");
    let rig = Rig::new(&[
        ("a", 1, json!({ "battery": 0.5, "on": true, "model": "X", "list": [1, { "x": null }], "none": null })),
        ("b", 2, json!({})),
    ])
    .await;
    let stored = rig.api.store.read("b", &RequestCharge::default()).await.expect("memory").expect("a document");
    let mut marked = stored.document;
    marked.set_silent_since(Some(T0));
    rig.api.store.replace(&marked, &stored.etag, &RequestCharge::default()).await.expect("no other writer");
    let old = serde_json::from_value(json!({ "id": "old", "x": 1 })).expect("a document of another program");
    rig.api.store.create(&old, &RequestCharge::default()).await.expect("a new document");

    let (list, device, summary) = ("/devices", "/devices/{id}", "/devices/summary");
    for (described, path, query, status) in [
        (list, "", "", 200),
        (list, "", "limit=1&versions=true", 200),
        (list, "", "id=a", 200),
        (list, "", "limit=0", 400),
        (list, "", "where=%28", 400),
        (list, "", "continuation=x", 400),
        (list, "", "id=x", 404),
        (device, "/a", "versions=true", 200),
        (device, "/b", "", 200),
        (device, "/old", "versions=true", 200),
        (device, "/x", "", 404),
        (device, "/%", "", 400),
        (summary, "/summary", "", 200),
        (summary, "/summary", "silent=1m&by=model", 200),
        (summary, "/summary", "by=", 400),
    ] {
        let response = rig.get(path, query).await;
        assert_eq!(response.status, status, "{path}?{query}");
        let content_type = response.header("content-type").expect("a content type");
        let validator = validator(&description, described, status, content_type);
        let body: Value = serde_json::from_str(&response.body).expect("JSON");
        if let Err(error) = validator.validate(&body) {
            panic!("{path}?{query}: {body}: {error}");
        }
        // The schemas refuse something.
        assert!(!validator.is_valid(&json!({})), "{described} {status}");
    }
}
