//! Where the documents are kept, by the settings.

use std::path::PathBuf;

use azure_core::http::Url;

use crate::{
    azure::{self, Access, ConnectionString, Identity},
    settings::{ConfigError, Settings},
};

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

/// A container of Azure Cosmos DB, whose partition key is `/id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosmosConfig {
    /// The account's address: `AccountEndpoint` of the connection string in `CosmosConnection`, or
    /// `CosmosConnection__accountEndpoint`.
    pub endpoint: Url,
    /// `AccountKey` of the connection string, or `CosmosConnection__credential` and what belongs to it.
    pub access: Access,
    /// `CosmosDatabase`: `devicestate` by default.
    pub database: String,
    /// `CosmosContainer`: `devices` by default.
    pub container: String,
    /// Which of the account's regions are asked first.
    pub regions: Regions,
}

/// Which of the account's regions are asked first. The others stay as a refuge, and writes go to the write region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// `CosmosPreferredRegions`: names, separated by commas, in this order. Without it and `REGION_NAME`, none: then the
    /// account's own order counts.
    Preferred(Vec<String>),
    /// Those nearest to the region in `REGION_NAME`, which Azure sets where the handler runs.
    Near(String),
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

impl CosmosConfig {
    fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        const CONNECTION: &str = "CosmosConnection";
        const ENDPOINT: &str = "CosmosConnection__accountEndpoint";
        let (setting, endpoint, access) = if let Some(text) = settings.get(CONNECTION) {
            let parts = ConnectionString::parse(CONNECTION, text)?;
            (CONNECTION, parts.url("AccountEndpoint")?, Access::Key(parts.key("AccountKey")?))
        } else if let Some(endpoint) = azure::endpoint(settings, ENDPOINT)? {
            (ENDPOINT, endpoint, Access::Identity(Identity::from_settings(settings, CONNECTION)?))
        } else {
            return Err(ConfigError::missing(
                ENDPOINT,
                "StateStore is cosmos, so it must be the account's address; or CosmosConnection a connection string",
            ));
        };
        check_encryption(settings, setting, &endpoint)?;
        let name = |setting, default: &str| settings.get(setting).unwrap_or(default).to_owned();
        let preferred = settings
            .get("CosmosPreferredRegions")
            .map(|names| names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect());
        Ok(Self {
            endpoint,
            access,
            database: name("CosmosDatabase", "devicestate"),
            container: name("CosmosContainer", "devices"),
            regions: match (preferred, settings.get("REGION_NAME")) {
                (None, Some(here)) => Regions::Near(here.to_owned()),
                (preferred, _) => Regions::Preferred(preferred.unwrap_or_default()),
            },
        })
    }
}

/// The client sends requests unencrypted only to this machine and to the emulator's host; better said at the start than
/// with each batch.
fn check_encryption(settings: &Settings, setting: &str, endpoint: &Url) -> Result<(), ConfigError> {
    const EMULATOR_HOST: &str = "AZURE_COSMOS_EMULATOR_HOST";
    let host = endpoint.host_str().unwrap_or_default();
    let is_near = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    if endpoint.scheme() == "https" || is_near || settings.get(EMULATOR_HOST) == Some(host) {
        return Ok(());
    }
    Err(ConfigError::Connection {
        setting: setting.to_owned(),
        problem: format!(
            "is not encrypted: the address must begin with https://; http:// is for an emulator, on this machine or on the host that {EMULATOR_HOST} names"
        ),
    })
}
