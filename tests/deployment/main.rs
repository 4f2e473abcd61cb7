//! What is deployed, held against what the code reads and what Azure takes: infrastructure, package, pipeline.

mod capacity;
mod infra;
mod package;
mod pipeline;
mod schemas;
mod words;
