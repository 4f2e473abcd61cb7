//! What a request asks for.

use axum::http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// The kinds that requests are counted and picked out by.
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
    /// All that is not about documents: account, database, container, partition key ranges, query plans.
    Metadata,
}

impl Kind {
    /// All of them, so that a count of none shows as 0.
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

/// What a request asks for, and of which document.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// The document's id, where the request is about one.
    pub(crate) id: Option<String>,
}

impl Operation {
    /// Reads it off method, path and headers, which say it all: the id of a new document is in the partition key, because
    /// the container is partitioned by it, so that the body (which may be in Cosmos DB's binary JSON) can be left alone.
    pub(crate) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let says = |name| headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        let segments: Vec<_> = segments(path).collect();
        let kind = match segments[..] {
            ["dbs", _, "colls", _, "docs"] if *method == Method::GET => Kind::Query,
            ["dbs", _, "colls", _, "docs"] if *method == Method::POST => {
                if says("x-ms-cosmos-is-query-plan-request") {
                    Kind::Metadata
                } else if says("x-ms-documentdb-isquery") || says("x-ms-documentdb-query") {
                    Kind::Query
                } else if says("x-ms-cosmos-is-batch-request") {
                    Kind::Batch
                } else if says("x-ms-documentdb-is-upsert") {
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

/// The path's segments, still percent-encoded.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn first_string(partition_key: &[u8]) -> Option<String> {
    serde_json::from_slice::<Vec<String>>(partition_key).ok()?.into_iter().next()
}
