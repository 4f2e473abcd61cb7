//! The read API: answers requests for the state of devices from the store of their documents.
//!
//! It knows no HTTP server. The handler answers invocations of the host's HTTP trigger with it, and requests on a port; the live
//! page uses it, too.

use std::{collections::BTreeSet, sync::Arc};

use devicestate_engine::{clock::Clock, store::StateStore};

/// Answers requests for the state of devices.
pub struct ReadApi {
    /// The store of the documents.
    pub store: Arc<dyn StateStore>,
    /// The fields that a filter may use.
    pub indexed: IndexedFields,
    /// The clock for the ages of devices.
    pub clock: Arc<dyn Clock>,
}

/// The fields of documents that the store can find without a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexedFields {
    /// Any: a scan costs nothing, or the caller pays it.
    Every,
    /// These: names of readings, `Heard` and `SilentSince`.
    Only(BTreeSet<String>),
}

/// A request, without the host and the base path.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The path after the base path, as it was sent, with percent encoding: empty for the list, `/summary`, or `/` and a device id.
    pub path: &'a str,
    /// The query as it was sent, without `?`. It may contain a key, so it is never logged or repeated.
    pub query: &'a str,
    /// The value of the header `If-None-Match`.
    pub if_none_match: Option<&'a str>,
}

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

impl ReadApi {
    /// Answers a request.
    pub async fn answer(&self, _request: &Request<'_>) -> Response {
        Response { status: 501, headers: Vec::new(), body: "{}".to_owned() }
    }
}
