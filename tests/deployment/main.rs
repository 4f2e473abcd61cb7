//! What is deployed, held against what the code reads and what Azure takes: infrastructure, package, pipeline.

mod capacity;
mod infra;
#[path = "../support/listener.rs"]
#[allow(dead_code, reason = "it serves the black-box tests first, which use all of it")]
mod listener;
#[path = "../support/npm.rs"]
mod npm;
mod package;
mod pipeline;
mod schemas;
#[path = "../black_box/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it serves the black-box tests first, which use all of it")]
mod support;

use support::http;
