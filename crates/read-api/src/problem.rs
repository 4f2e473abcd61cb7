//! Problem documents (RFC 9457): what the API answers instead of data.

use std::time::Duration;

use devicestate_engine::{rate_limit::OncePerMinute, store::StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::filter::FilterError;

/// The address of a type of problem: a section of the page that describes them.
macro_rules! address {
    ($section:literal) => {
        concat!("https://github.com/devicestate/devicestate/blob/main/docs/reference/api.md#", $section)
    };
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem it is: a page, or `about:blank` if the status says it all.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    pub kind: &'static str,
    /// The kind of problem in words.
    pub title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// The character of the filter, from 1 on, at which it is invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub position: Option<usize>,
    /// The field that is not indexed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The header `Retry-After`, in seconds.
    #[serde(skip)]
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    fn new(status: u16, detail: impl Into<String>) -> Self {
        let title = match status {
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            429 => "Too Many Requests",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let detail = detail.into();
        Self { kind: "about:blank", title, status, detail, position: None, field: None, retry_after: None }
    }

    fn of_kind(kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, ..Self::new(400, detail) }
    }

    /// The request is not one that this API has.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    /// The caller may not send requests.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, detail)
    }

    /// A parameter is unknown, repeated or invalid.
    pub(crate) fn invalid_parameter(detail: impl Into<String>) -> Self {
        Self::of_kind(address!("invalid-parameter"), "Invalid parameter", detail)
    }

    /// The parameter `where` is not a filter.
    pub(crate) fn invalid_filter(error: &FilterError) -> Self {
        let problem = Self::of_kind(
            address!("invalid-filter"),
            "Invalid filter",
            format!("the filter in `where` is invalid {error}"),
        );
        Self { position: Some(error.position), ..problem }
    }

    /// A continuation token is not one of this API, or of another query.
    pub(crate) fn invalid_continuation(detail: impl Into<String>) -> Self {
        Self::of_kind(address!("invalid-continuation"), "Invalid continuation token", detail)
    }

    /// The store would have to read every document.
    pub(crate) fn not_indexed(field: &str, path: &str) -> Self {
        let detail = format!(
            "the field `{field}` is not indexed: the store would read every document, and the request units would grow with \
             the number of devices; add `{path}` to the parameter `cosmosIndexedPaths` of the deployment, which also sets \
             `CosmosIndexedPaths`"
        );
        let problem = Self::of_kind(address!("field-not-indexed"), "Field is not indexed", detail);
        Self { field: Some(field.to_owned()), ..problem }
    }

    pub(crate) fn too_many_documents(field: &str, limit: usize) -> Self {
        let detail = format!(
            "more than {limit} devices have the field `{field}`, and their values are counted one by one: narrow them down \
             with `prefix` or `where`, or count them with a query in the store itself"
        );
        Self::of_kind(address!("too-many-documents"), "Too many documents", detail)
    }

    /// No device has this id.
    pub(crate) fn unknown_device(id: &str) -> Self {
        Self::new(404, format!("there is no device {id:?}"))
    }

    /// The path is not one of this API.
    #[must_use]
    pub fn unknown_path() -> Self {
        let detail = "the API has /api/devices, /api/devices/{id} and /api/devices/summary; in an id write / as %2F, or use \
                      /api/devices?id=";
        Self::new(404, detail)
    }

    /// The method is not `GET`.
    pub(crate) fn method() -> Self {
        Self::new(405, "the API only reads: use GET")
    }

    /// A bug.
    pub(crate) fn internal() -> Self {
        Self::new(500, "the handler failed; its log has the reason")
    }

    /// The answer took too long.
    #[must_use]
    pub fn timeout(budget: Duration) -> Self {
        let detail = format!(
            "the store has not answered within {} s: try again, or select fewer devices",
            budget.as_secs_f64().ceil()
        );
        Self { retry_after: Some(1), ..Self::new(503, detail) }
    }

    /// An operation of the store has failed. The cause of what an operator must repair is in the log only: it may have
    /// names of the store that are not for every caller.
    pub(crate) fn of_store(error: &StoreError, device: Option<&str>) -> Self {
        static LOG: std::sync::LazyLock<OncePerMinute> = std::sync::LazyLock::new(OncePerMinute::default);
        match error {
            StoreError::Throttled { delay, .. } => {
                let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
                let detail = "the store limits the load: try again later";
                Self { retry_after: Some(seconds.max(1)), ..Self::new(429, detail) }
            }
            StoreError::Transient(_) | StoreError::Conflict => {
                let detail = "the store cannot be reached or does not answer: try again";
                Self { retry_after: Some(1), ..Self::new(503, detail) }
            }
            StoreError::Rejected(reason) => {
                if LOG.is_due() {
                    tracing::error!("a stored document cannot be read: {reason}");
                }
                let device = device.map(|device| format!(" of the device {device:?}")).unwrap_or_default();
                Self::new(500, format!("the stored document{device} is invalid; the log of the handler has the reason"))
            }
            StoreError::BadRequest(reason) | StoreError::Refused(reason) | StoreError::Systemic(reason) => {
                if LOG.is_due() {
                    tracing::error!("the store fails a request of the read API: {reason}");
                }
                Self::new(503, "the store refuses requests; the log of the handler has the reason")
            }
        }
    }
}
