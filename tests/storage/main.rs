//! Azure Storage: queues and blobs against Azurite, and against storage that is down, silent or refuses.
//!
//! Azurite is installed once, below the target folder, from `tests/azurite`: that needs Node.js, and a network or npm's
//! cache the first time.

mod audit;
mod azurite;
mod blobs;
mod both_queues;
mod connections;
mod dead_letters;
#[path = "../support/npm.rs"]
mod npm;
mod outages;
mod proxy;
mod queues;
#[path = "../black_box/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it serves the black-box tests first, which use all of it")]
mod support;
mod watch;
mod whole_letters;
