//! Direct access of a test to the documents.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, StatusCode},
};
use azure_core::http::Url;
use serde_json::{Map, Value, json};

use crate::{account::Account, response::CosmosResponse};

/// Returns all documents by id, or the store's error.
pub(crate) async fn all(account: &Account) -> Result<Map<String, Value>, CosmosResponse> {
    let mut documents = Map::new();
    let mut headers = HeaderMap::new();
    loop {
        let page = execute(account, &Method::GET, &account.documents_path(), &headers, Bytes::new()).await?;
        if let Value::Array(listed) = page.json()["Documents"].take() {
            documents.extend(listed.into_iter().map(|it| (it["id"].as_str().unwrap_or_default().to_owned(), it)));
        }
        let Some(next) = page.headers.get("x-ms-continuation") else { return Ok(documents) };
        headers.insert("x-ms-continuation", next.clone());
    }
}

/// Returns one document, or the store's error.
pub(crate) async fn get(account: &Account, id: &str) -> Result<Value, CosmosResponse> {
    let path = path(account, id);
    Ok(execute(account, &Method::GET, &path, &partition(id), Bytes::new()).await?.json())
}

/// Creates or replaces a document, whatever its `ETag`, and returns it as it is stored.
pub(crate) async fn put(account: &Account, id: &str, mut document: Value) -> Result<Value, CosmosResponse> {
    let bad_request = |message: &str| CosmosResponse::error(StatusCode::BAD_REQUEST, message);
    let fields = document.as_object_mut().ok_or_else(|| bad_request("A document is a JSON object."))?;
    if *fields.entry("id").or_insert(json!(id)) != json!(id) {
        return Err(bad_request("The document has another id than the path."));
    }
    let mut headers = partition(id);
    headers.insert("x-ms-documentdb-is-upsert", HeaderValue::from_static("true"));
    let body = document.to_string().into();
    Ok(execute(account, &Method::POST, &account.documents_path(), &headers, body).await?.json())
}

/// Deletes a document, whatever its `ETag`.
pub(crate) async fn delete(account: &Account, id: &str) -> Result<(), CosmosResponse> {
    let path = path(account, id);
    execute(account, &Method::DELETE, &path, &partition(id), Bytes::new()).await.map(drop)
}

/// Executes a request, and repeats it while it is throttled: throttling must not affect the access of a test.
async fn execute(
    account: &Account,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<CosmosResponse, CosmosResponse> {
    loop {
        let response = account.execute_directly(method, path, headers, body.clone()).await;
        match response.status {
            StatusCode::TOO_MANY_REQUESTS => {
                tokio::time::sleep(Duration::from_secs_f64(response.retry_after().unwrap_or(10.0) / 1000.0)).await;
            }
            status if status.is_success() => return Ok(response),
            _ => return Err(response),
        }
    }
}

fn path(account: &Account, id: &str) -> String {
    let mut url: Url = account.regions()[0].endpoint.clone();
    url.set_path(&account.documents_path());
    url.path_segments_mut().expect("an http address has a path").push(id);
    url.path().to_owned()
}

fn partition(id: &str) -> HeaderMap {
    // Escaped to ASCII, as the clients send it: header values must not contain other characters.
    let ascii: String = json!([id]).to_string().chars().fold(String::new(), |mut text, letter| {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            let mut units = [0; 2];
            text.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
        text
    });
    let key = HeaderValue::from_str(&ascii).expect("JSON without control characters, in ASCII");
    HeaderMap::from_iter([(axum::http::HeaderName::from_static("x-ms-documentdb-partitionkey"), key)])
}
