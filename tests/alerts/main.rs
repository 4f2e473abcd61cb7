//! The saved queries and alerts of infra/, as they are deployed: read by Microsoft's parser, held against records that the
//! binary really writes, and run.

mod firing;
mod language;
#[path = "../support/npm.rs"]
mod npm;
mod pages;
mod queries;
#[path = "../support/record_schema.rs"]
mod record_schema;
mod support;
