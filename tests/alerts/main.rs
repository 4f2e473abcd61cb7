//! The saved queries and alerts of infra/, as they are deployed: read by Microsoft's parser, held against records that the
//! binary really writes, and run.

mod firing;
#[path = "../support/http.rs"]
#[allow(dead_code, reason = "the account's support needs it")]
mod http;
mod language;
#[path = "../support/listener.rs"]
#[allow(dead_code, reason = "its program is what is needed here")]
mod listener;
#[path = "../support/npm.rs"]
mod npm;
mod pages;
mod queries;
#[path = "../support/record_schema.rs"]
mod record_schema;
mod rehearsals;
mod support;
mod telemetry;
