//! Checks infra/ against the code that reads its settings, and against the rules of Azure.

mod alerts;
mod app_settings;
pub(crate) mod bicep;
mod changes;
mod essential_values;
mod name_lengths;
mod names;
mod options;
mod package_identity;
mod protection;
mod regions;
mod resource_types;
mod roles;
mod sessions;
mod settings;
pub(crate) mod sources;
mod templates;
