//! Test support for dead letters: Azurite, a proxy that injects failures, and a test bench with a queue and documents.
//!
//! Begin with [`bench`].
#![allow(missing_docs, clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "only tests use it")]

pub mod azurite;
pub mod bench;
pub mod proxy;
