//! Which container of Cosmos DB holds the documents, by the settings.

use azure_core::http::Url;
use devicestate_engine::settings::{ConfigError, Settings};

use crate::{
    access::{self, Access},
    connection_string::ConnectionString,
    identity::Identity,
};

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

impl CosmosConfig {
    /// Reads the settings of the connection `CosmosConnection`, and which container is meant.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; it names the setting.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        const CONNECTION: &str = "CosmosConnection";
        const ENDPOINT: &str = "CosmosConnection__accountEndpoint";
        let (setting, endpoint, access) = if let Some(text) = settings.get(CONNECTION) {
            let parts = ConnectionString::parse(CONNECTION, text)?;
            (CONNECTION, parts.url("AccountEndpoint")?, Access::Key(parts.key("AccountKey")?))
        } else if let Some(endpoint) = access::endpoint(settings, ENDPOINT)? {
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
