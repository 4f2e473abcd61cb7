//! Second implementations of the formats, plain and slow, to which the real ones are compared.
#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "only tests use it"
)]

pub mod plain_envelope;
pub mod protobuf;
