//! What the experiment sends, and what it makes of what arrived: for its program and its tests.
#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "the program beside it and its tests are all who use it"
)]

pub mod plan;
pub mod verdict;
