//! The pipeline, and the scripts that its steps and operators run.

mod azure;
pub(crate) mod calls;
mod checking;
mod deploying;
mod host;
mod pages;
mod rewinding;
mod smoke_test;
mod steps;
pub(crate) mod yaml;
