//! The saved queries and alerts of infra/, as they are deployed: read by Microsoft's parser, held against records that the
//! binary really writes, and run.

mod firing;
mod language;
mod pages;
mod queries;
mod rehearsals;
mod support;
mod telemetry;
