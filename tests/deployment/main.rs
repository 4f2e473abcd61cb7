//! Checks what is deployed (infrastructure, package, pipeline) against the code and the rules of Azure.

mod azd;
mod capacity;
mod github;
mod infra;
mod package;
mod pipeline;
mod schemas;
mod words;
