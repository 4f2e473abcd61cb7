//! Checks infra/ against the code that reads its settings, and against the rules of Azure.

mod alerts;
mod app_settings;
mod arm;
mod azd;
pub(crate) mod bicep;
mod changes;
mod compiled;
mod device_identity;
mod essential_values;
mod evaluate;
mod expected;
mod grammar;
mod name_lengths;
mod names;
mod optional_protection;
mod package_identity;
mod private_network;
mod protection;
mod regions;
mod rejected_values;
mod resource_types;
mod roles;
mod secrets;
mod sessions;
mod settings;
pub(crate) mod sources;
mod templates;
