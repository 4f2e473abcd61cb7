//! Checks what is deployed (infrastructure, package, pipeline) against the code and the rules of Azure.

mod capacity;
mod costs;
mod infra;
mod package;
mod page;
mod pipeline;
mod schemas;
mod words;
