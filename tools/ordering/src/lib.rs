//! The ordering experiment's events and order check, shared by its command and its tests.
#![allow(missing_docs, clippy::must_use_candidate, reason = "only its command and its tests use this library")]

pub mod order_check;
pub mod plan;
