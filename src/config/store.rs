//! The settings of the document store.

use std::path::PathBuf;

use devicestate_azure::CosmosConfig;
use devicestate_engine::settings::{ConfigError, Settings};

/// The store of the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `memory`: in the memory of the process; the documents are lost when it ends.
    Memory,
    /// `sqlite`: in the file of the setting `SqlitePath`.
    Sqlite(PathBuf),
    /// `cosmos`: in a container of Azure Cosmos DB.
    Cosmos(CosmosConfig),
}

impl StoreConfig {
    /// Returns the value of `StateStore`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Cosmos(_) => "cosmos",
        }
    }

    /// Reads `StateStore` and the settings of the selected store.
    ///
    /// There is no default, so that documents are never written to a store that the operator did not choose.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] if a setting is missing or invalid.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        match settings.get("StateStore") {
            Some("memory") => Ok(Self::Memory),
            Some("sqlite") => settings.get("SqlitePath").map(|path| Self::Sqlite(path.into())).ok_or_else(|| {
                ConfigError::missing("SqlitePath", "it must name the state file, because `StateStore` is `sqlite`")
            }),
            Some("cosmos") => CosmosConfig::from_settings(settings).map(Self::Cosmos),
            Some(value) => Err(ConfigError::invalid("StateStore", value, "`cosmos`, `sqlite` or `memory`")),
            None => Err(ConfigError::missing(
                "StateStore",
                "set it to the store of the documents: `cosmos`, `sqlite` or `memory`",
            )),
        }
    }
}
