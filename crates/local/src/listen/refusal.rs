//! Why events are not taken.

use std::time::Duration;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// The longest message of an event, or of a batch of events, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Why the events of a request are not taken. None of them is in the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    detail: String,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unknown_entity(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such hub or queue here: send events with POST {path}"))
    }

    pub(super) fn unknown_partition(count: usize) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such partition: the hub has 0 to {}", count - 1))
    }

    pub(super) fn too_large() -> Self {
        let detail = format!("an event, or a batch of events with 64 bytes for each, has at most {MAX_BYTES} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub(super) fn too_slow(limit: Duration) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, format!("the request did not arrive within {limit:?}"))
    }

    pub(super) fn busy() -> Self {
        let detail = "ServerBusy: the handlers are slower than the senders; wait a second and send again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(super) fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the run ends: the event is not taken")
    }
}

impl IntoResponse for Refusal {
    /// Answers in the form of the service.
    fn into_response(self) -> Response {
        let Self { status, detail } = self;
        let detail = detail.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = format!("<Error><Code>{}</Code><Detail>{detail}</Detail></Error>\n", status.as_u16());
        let mut response = (status, [(header::CONTENT_TYPE, "application/xml; charset=utf-8")], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
