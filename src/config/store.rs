//! Where the documents are kept, by the settings.

use std::path::PathBuf;

use devicestate_azure::CosmosConfig;
use devicestate_engine::settings::{ConfigError, Settings};

/// Where the documents are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `memory`: in the process, gone with it.
    Memory,
    /// `sqlite`: in the file that the setting `SqlitePath` names.
    Sqlite(PathBuf),
    /// `cosmos`: in a container of Azure Cosmos DB.
    Cosmos(CosmosConfig),
}

impl StoreConfig {
    /// The value of `StateStore`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Cosmos(_) => "cosmos",
        }
    }

    /// Reads `StateStore` and what belongs to its value.
    ///
    /// There is no default: a store that was not chosen is one where nobody looks for the documents.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        match settings.get("StateStore") {
            Some("memory") => Ok(Self::Memory),
            Some("sqlite") => settings
                .get("SqlitePath")
                .map(|path| Self::Sqlite(path.into()))
                .ok_or_else(|| ConfigError::missing("SqlitePath", "StateStore is sqlite, so it must name the file")),
            Some("cosmos") => CosmosConfig::from_settings(settings).map(Self::Cosmos),
            Some(value) => Err(ConfigError::Invalid {
                setting: "StateStore",
                value: value.to_owned(),
                expected: "cosmos, sqlite or memory",
            }),
            None => Err(ConfigError::missing(
                "StateStore",
                "it must say where the documents are kept: cosmos, sqlite or memory",
            )),
        }
    }
}
