//! Errors as problem documents (RFC 9457).

use axum::{
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

/// An error of a request.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// What failed, why, and what to do.
    pub(crate) detail: String,
    /// The number of the character of a filter, from 1 on, at which it is invalid.
    pub(crate) position: Option<usize>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), position: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail, position } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let mut document =
            serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
        if let Some(position) = position {
            document["position"] = position.into();
        }
        let body = Body::from(document.to_string());
        (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
