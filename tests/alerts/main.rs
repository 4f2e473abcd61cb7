//! The saved queries and alerts of infra/: parsed by Microsoft's parser, compared with the records that the binary writes,
//! and run.

mod drawing;
mod exercises;
mod firing;
mod language;
mod pages;
mod queries;
mod support;
mod telemetry;
