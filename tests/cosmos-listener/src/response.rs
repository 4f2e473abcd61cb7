//! A response in the form of Cosmos DB's: status, headers and body.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
};
use azure_core::http::AsyncRawResponse;
use serde_json::{Value, json};

const CHARGE: &str = "x-ms-request-charge";
const SUB_STATUS: &str = "x-ms-substatus";

/// A response to a client, unless a fault drops it.
#[derive(Debug, Clone)]
pub(crate) struct CosmosResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl CosmosResponse {
    /// Creates an error response in the form of Cosmos DB's.
    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response =
            Self { status, headers, body: json!({ "code": code(status), "message": message }).to_string().into() };
        let activity = uuid::Uuid::new_v4();
        response.with("x-ms-activity-id", &activity).with(CHARGE, &0)
    }

    /// Converts the store's response.
    pub(crate) async fn from_store(raw: AsyncRawResponse) -> Self {
        let raw = match raw.try_into_raw_response().await {
            Ok(raw) => raw,
            Err(error) => return Self::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        };
        let status = StatusCode::from_u16(raw.status().into()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = raw.headers().iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.as_str()).ok()?))
        });
        Self { status, headers: headers.collect(), body: Bytes::copy_from_slice(raw.body().as_ref()) }
    }

    /// Sets a header.
    pub(crate) fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        let value = value.to_string();
        let value =
            HeaderValue::from_str(&value).expect("the values are numbers and identifiers, which headers may hold");
        self.headers.insert(name, value);
        self
    }

    /// Sets the sub-status, which distinguishes Cosmos DB's responses with the same status.
    pub(crate) fn with_sub_status(self, sub_status: u32) -> Self {
        self.with(SUB_STATUS, &sub_status)
    }

    /// Sets the request charge in request units.
    pub(crate) fn with_charge(self, request_units: f64) -> Self {
        self.with(CHARGE, &request_units)
    }

    /// Returns whether it has a sub-status.
    pub(crate) fn has_sub_status(&self) -> bool {
        self.headers.contains_key(SUB_STATUS)
    }

    /// Replaces the query in a plan.
    pub(crate) fn with_rewritten_query(mut self, rewrite: impl Fn(&str) -> String) -> Self {
        let mut plan = self.json();
        if let Some(query) = plan["queryInfo"]["rewrittenQuery"].as_str() {
            plan["queryInfo"]["rewrittenQuery"] = rewrite(query).into();
            self.body = plan.to_string().into();
        }
        self
    }

    /// Returns the number of items of a page.
    pub(crate) fn item_count(&self) -> u64 {
        self.headers.get("x-ms-item-count").and_then(|count| count.to_str().ok()?.parse().ok()).unwrap_or(0)
    }

    /// Returns the request charge in request units.
    pub(crate) fn charge(&self) -> f64 {
        self.number(CHARGE).unwrap_or(0.0)
    }

    /// Returns the delay after which the client should retry, in milliseconds.
    pub(crate) fn retry_after(&self) -> Option<f64> {
        self.number("x-ms-retry-after-ms")
    }

    /// Parses the body; `null` if it is empty.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn number(&self, header: &str) -> Option<f64> {
        self.headers.get(header)?.to_str().ok()?.parse().ok()
    }
}

/// Returns Cosmos DB's name of a status in the body of an error.
fn code(status: StatusCode) -> String {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge".to_owned(),
        other => other.canonical_reason().unwrap_or(other.as_str()).replace(' ', ""),
    }
}
