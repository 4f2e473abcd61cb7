//! An answer as Cosmos DB gives it: status, headers, body.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
};
use azure_core::http::AsyncRawResponse;
use serde_json::{Value, json};

const CHARGE: &str = "x-ms-request-charge";
const SUB_STATUS: &str = "x-ms-substatus";

/// What goes back to a client, unless a fault keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// An answer of our own making, in the form of Cosmos DB's errors.
    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer =
            Self { status, headers, body: json!({ "code": code(status), "message": message }).to_string().into() };
        let activity = uuid::Uuid::new_v4();
        answer.with("x-ms-activity-id", &activity).with(CHARGE, &0)
    }

    /// The store's answer.
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

    /// The same with this header in addition, or in place of the one that it had.
    pub(crate) fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        let value = value.to_string();
        let value =
            HeaderValue::from_str(&value).expect("the values are numbers and identifiers, which headers may hold");
        self.headers.insert(name, value);
        self
    }

    /// The same with this sub-status, which is what tells Cosmos DB's many 404s and 403s apart.
    pub(crate) fn with_sub_status(self, sub_status: u32) -> Self {
        self.with(SUB_STATUS, &sub_status)
    }

    /// The same with this price in request units.
    pub(crate) fn with_charge(self, request_units: f64) -> Self {
        self.with(CHARGE, &request_units)
    }

    /// Whether it has a sub-status.
    pub(crate) fn has_sub_status(&self) -> bool {
        self.headers.contains_key(SUB_STATUS)
    }

    /// Its price in request units.
    pub(crate) fn charge(&self) -> f64 {
        self.number(CHARGE).unwrap_or(0.0)
    }

    /// When Cosmos DB asks to be left alone for a while: how long, in milliseconds.
    pub(crate) fn retry_after(&self) -> Option<f64> {
        self.number("x-ms-retry-after-ms")
    }

    /// The body, which may be empty.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn number(&self, header: &str) -> Option<f64> {
        self.headers.get(header)?.to_str().ok()?.parse().ok()
    }
}

/// What Cosmos DB calls this status in the body of an error.
fn code(status: StatusCode) -> String {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge".to_owned(),
        other => other.canonical_reason().unwrap_or(other.as_str()).replace(' ', ""),
    }
}
