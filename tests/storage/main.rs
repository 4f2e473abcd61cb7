//! Azure Storage: queues against Azurite.
//!
//! Azurite is installed once, below the target folder, from `tests/azurite`: that needs Node.js, and a network or npm's
//! cache the first time.

#[allow(dead_code, reason = "the tests of storage that refuses and is down come next")]
mod azurite;
mod queues;
#[path = "../black_box/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it serves the black-box tests first, which use all of it")]
mod support;
