//! The operation of a request.

use axum::http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// The kinds of operations, by which requests are counted and faults are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Read one document.
    Read,
    /// Create one document.
    Create,
    /// Replace one document.
    Replace,
    /// Create or replace one document.
    Upsert,
    /// Change parts of one document.
    Patch,
    /// Delete one document.
    Delete,
    /// Several of these in one request.
    Batch,
    /// A page of a query's results, or of all documents.
    Query,
    /// Operations that are not about documents: account, database, container, partition key ranges, query plans.
    Metadata,
}

impl Kind {
    /// All kinds, so that each has a count, also if it is 0.
    pub(crate) const ALL: [Self; 9] = [
        Self::Read,
        Self::Create,
        Self::Replace,
        Self::Upsert,
        Self::Patch,
        Self::Delete,
        Self::Batch,
        Self::Query,
        Self::Metadata,
    ];
}

/// The operation of a request, and its document.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// The document's id, if the request is about one document.
    pub(crate) id: Option<String>,
}

impl Operation {
    /// Derives the operation from method, path and headers. The id of a new document is its partition key, so the body, which
    /// may be in Cosmos DB's binary JSON, is not read.
    pub(crate) fn parse(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let is_true = |name| headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        let segments: Vec<_> = segments(path).collect();
        let kind = match segments[..] {
            ["dbs", _, "colls", _, "docs"] if *method == Method::GET => Kind::Query,
            ["dbs", _, "colls", _, "docs"] if *method == Method::POST => {
                if is_true("x-ms-cosmos-is-query-plan-request") {
                    Kind::Metadata
                } else if is_true("x-ms-documentdb-isquery") || is_true("x-ms-documentdb-query") {
                    Kind::Query
                } else if is_true("x-ms-cosmos-is-batch-request") {
                    Kind::Batch
                } else if is_true("x-ms-documentdb-is-upsert") {
                    Kind::Upsert
                } else {
                    Kind::Create
                }
            }
            ["dbs", _, "colls", _, "docs", _] => match *method {
                Method::GET => Kind::Read,
                Method::PUT => Kind::Replace,
                Method::PATCH => Kind::Patch,
                Method::DELETE => Kind::Delete,
                _ => Kind::Metadata,
            },
            _ => Kind::Metadata,
        };
        let id = match segments[..] {
            ["dbs", _, "colls", _, "docs", id] => Some(percent_decode_str(id).decode_utf8_lossy().into_owned()),
            _ => headers.get("x-ms-documentdb-partitionkey").and_then(|key| first_string(key.as_bytes())),
        };
        Self { kind, id }
    }
}

/// Returns the path's segments, percent-encoded.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn first_string(partition_key: &[u8]) -> Option<String> {
    serde_json::from_slice::<Vec<String>>(partition_key).ok()?.into_iter().next()
}
