//! What tests of dead letters stand on: Azurite, a proxy that misbehaves, a queue with all that belongs to it.
#![allow(missing_docs, clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "only tests use it")]

pub mod azurite;
pub mod bench;
pub mod proxy;
