//! Second implementations of the formats, plain and slow, that the real ones are held against.
#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "only tests use it"
)]

pub mod plain_envelope;
pub mod protobuf;
