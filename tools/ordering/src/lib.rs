//! What the experiment sends, and what it makes of what arrived: for its program and its tests.
#![allow(missing_docs, clippy::must_use_candidate, reason = "the program beside it and its tests are all who use it")]

pub mod plan;
pub mod verdict;
