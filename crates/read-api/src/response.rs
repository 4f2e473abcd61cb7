//! Answers as HTTP sees them.

use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::Problem;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status of HTTP.
    pub status: u16,
    /// The headers, with their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, which is JSON; empty with status 304.
    pub body: String,
}

/// An answer that is not a problem.
pub(crate) enum Content {
    /// The body, and the tag of its state if there is one.
    Body { body: String, etag: Option<String> },
    /// The caller has the state with this tag.
    NotModified { etag: String },
}

impl Content {
    /// Returns an answer without a tag.
    pub(crate) fn untagged(body: &impl Serialize) -> Self {
        Self::Body { body: to_json(body), etag: None }
    }
}

pub(crate) fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("the names of all members are texts")
}

impl Response {
    pub(crate) fn new(content: Result<Content, Problem>, request_units: f64) -> Self {
        let (status, content_type, body, etag) = match content {
            Ok(Content::Body { body, etag }) => (200, "application/json", body, etag),
            // With the content type of the state that the caller has: the Functions host would send `text/plain` without one, and
            // a cache would take it over.
            Ok(Content::NotModified { etag }) => (304, "application/json", String::new(), Some(etag)),
            Err(problem) => return Self::from_problem(&problem, request_units),
        };
        let mut headers = headers(content_type, request_units);
        headers.extend(etag.map(|etag| ("etag", etag)));
        Self { status, headers, body }
    }

    pub(crate) fn from_problem(problem: &Problem, request_units: f64) -> Self {
        let mut headers = headers("application/problem+json", request_units);
        headers.extend(problem.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        headers.extend((problem.status == 405).then(|| ("allow", "GET".to_owned())));
        Self { status: problem.status, headers, body: to_json(problem) }
    }

    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }
}

impl From<&Problem> for Response {
    fn from(problem: &Problem) -> Self {
        Self::from_problem(problem, 0.0)
    }
}

/// For the servers that answer by plain HTTP.
impl From<Response> for http::Response<String> {
    fn from(Response { status, headers, body }: Response) -> Self {
        let mut response = Self::new(body);
        *response.status_mut() = StatusCode::from_u16(status).expect("a status of HTTP");
        for (name, value) in headers {
            // Tags and numbers are valid values.
            let value = HeaderValue::try_from(value).expect("visible ASCII");
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
        response
    }
}

/// Returns the headers of every answer.
fn headers(content_type: &str, request_units: f64) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", content_type.to_owned()),
        // A cache must ask each time, and only the caller's own one may keep the state.
        ("cache-control", "private, no-cache".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("x-ms-request-charge", format!("{request_units:.2}")),
    ]
}
