//! What is deployed, held against what the code reads and what Azure takes: infrastructure, package, pipeline.

mod app_settings;
mod bicep;
mod capacity;
mod infra;
mod names;
mod package;
mod pipeline;
mod schemas;
mod settings;
mod shapes;
mod sources;
