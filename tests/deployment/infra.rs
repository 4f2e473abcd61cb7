//! Checks infra/ against the code that reads its settings, and against the rules of Azure.

mod alerts;
mod app_settings;
pub(crate) mod bicep;
mod facts;
mod names;
mod regions;
mod roles;
mod sessions;
mod settings;
mod shapes;
pub(crate) mod sources;
mod templates;
