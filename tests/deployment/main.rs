//! Checks what is deployed (infrastructure, package, pipeline) against the code and the rules of Azure.

mod azd;
mod capacity;
mod costs;
mod github;
mod infra;
mod package;
mod page;
mod pays;
mod pipeline;
mod schemas;
mod threat_model;
mod words;
