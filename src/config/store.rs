//! The settings of the document store.

use std::path::PathBuf;

use devicestate_azure::CosmosConfig;
use devicestate_engine::settings::{ConfigError, Settings};
use devicestate_read_api::IndexedFields;
use devicestate_sqlite::Synchronous;

/// The store of the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `memory`: in the memory of the process; the documents are lost when it ends.
    Memory,
    /// `sqlite`: in a file.
    Sqlite(SqliteConfig),
    /// `cosmos`: in a container of Azure Cosmos DB.
    Cosmos(CosmosConfig),
}

/// A file with documents and dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// `SqlitePath`: the path of the file.
    pub path: PathBuf,
    /// `SqliteSynchronous`: what a commit waits for; `full` or `normal`. Default: `full`.
    pub synchronous: Synchronous,
}

impl SqliteConfig {
    /// Returns the settings of a file, with defaults.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, synchronous: Synchronous::default() }
    }

    fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let Some(path) = settings.get("SqlitePath") else {
            return Err(ConfigError::missing(
                "SqlitePath",
                "it must name the state file, because `StateStore` is `sqlite`",
            ));
        };
        let synchronous =
            settings.parse("SqliteSynchronous", Synchronous::Full, "`full` or `normal`", |value| match value {
                "full" => Some(Synchronous::Full),
                "normal" => Some(Synchronous::Normal),
                _ => None,
            })?;
        Ok(Self { path: path.into(), synchronous })
    }
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

    /// Returns the fields by which the store finds documents without a scan: with `cosmos`, those of `CosmosIndexedPaths`, the
    /// included paths of the container's index; by default, those that the deployment indexes. The others scan their own memory
    /// or file.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] if a path is invalid.
    pub fn indexed_fields(&self, settings: &Settings) -> Result<IndexedFields, ConfigError> {
        match self {
            Self::Memory | Self::Sqlite(_) => Ok(IndexedFields::Every),
            Self::Cosmos(_) => {
                let default = ["Heard", "SilentSince"].map(str::to_owned).into();
                settings.parse(
                    "CosmosIndexedPaths",
                    IndexedFields::Only(default),
                    "paths of the container's index, such as /Heard/?,/battery/?, or /*",
                    IndexedFields::from_paths,
                )
            }
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
            Some("sqlite") => SqliteConfig::from_settings(settings).map(Self::Sqlite),
            Some("cosmos") => CosmosConfig::from_settings(settings).map(Self::Cosmos),
            Some(value) => Err(ConfigError::invalid("StateStore", value, "`cosmos`, `sqlite` or `memory`")),
            None => Err(ConfigError::missing(
                "StateStore",
                "set it to the store of the documents: `cosmos`, `sqlite` or `memory`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexed(store: &str, paths: &str) -> Result<IndexedFields, String> {
        let mut settings = Settings::default();
        settings.set("StateStore", store);
        settings.set("SqlitePath", "state.db");
        settings.set("CosmosConnection__accountEndpoint", "https://account.documents.azure.com/");
        settings.set("CosmosIndexedPaths", paths);
        let store = StoreConfig::from_settings(&settings).expect("a store");
        store.indexed_fields(&settings).map_err(|error| error.to_string())
    }

    #[test]
    fn the_fields_of_the_index_are_those_of_the_setting() {
        let only = |fields: &[&str]| Ok(IndexedFields::Only(fields.iter().map(|field| (*field).to_owned()).collect()));
        assert_eq!(indexed("cosmos", ""), only(&["Heard", "SilentSince"]));
        assert_eq!(indexed("cosmos", "/Heard/?,/\"motor.temp\"/?"), only(&["Heard", "motor.temp"]));
        assert_eq!(indexed("cosmos", "/*"), Ok(IndexedFields::Every));
        assert_eq!(indexed("sqlite", "/Heard/?"), Ok(IndexedFields::Every));
        let expected = "the setting `CosmosIndexedPaths` must be paths of the container's index, such as /Heard/?,/battery/?, or \
                        /*, not \"battery\"";
        assert_eq!(indexed("cosmos", "battery"), Err(expected.to_owned()));
    }
}
