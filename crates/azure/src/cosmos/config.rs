//! The settings of the Cosmos DB container that holds the documents.

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
    /// The account's URL: `AccountEndpoint` of the connection string in `CosmosConnection`, or
    /// `CosmosConnection__accountEndpoint`.
    pub endpoint: Url,
    /// `AccountKey` of the connection string, or the identity of `CosmosConnection__credential` and its related settings.
    pub access: Access,
    /// `CosmosDatabase`. Default: `devicestate`.
    pub database: String,
    /// `CosmosContainer`. Default: `devices`.
    pub container: String,
    /// Which of the account's regions are read first.
    pub regions: Regions,
}

/// Which of the account's regions are read first. The others are fallbacks, and writes go to the write region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// `CosmosPreferredRegions`: names in this order, separated by commas. Empty if this setting and `REGION_NAME` are
    /// missing: then the account's own order applies.
    Preferred(Vec<String>),
    /// The regions nearest to the one in `REGION_NAME`, which Azure sets to the handler's region.
    NearestTo(String),
}

impl CosmosConfig {
    /// Reads the connection `CosmosConnection` and the names of the database and container.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; it names the missing or invalid setting.
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
                "because `StateStore` is `cosmos`, it must be the account's URL, or `CosmosConnection` must be a connection string",
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
                (None, Some(region)) => Regions::NearestTo(region.to_owned()),
                (preferred, _) => Regions::Preferred(preferred.unwrap_or_default()),
            },
        })
    }
}

/// Checks at the start that the connection is encrypted: the client sends requests unencrypted only to this machine and to
/// the emulator's host, and would fail each batch.
fn check_encryption(settings: &Settings, setting: &str, endpoint: &Url) -> Result<(), ConfigError> {
    const EMULATOR_HOST: &str = "AZURE_COSMOS_EMULATOR_HOST";
    let host = endpoint.host_str().unwrap_or_default();
    let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    if endpoint.scheme() == "https" || is_local || settings.get(EMULATOR_HOST) == Some(host) {
        return Ok(());
    }
    Err(ConfigError::Connection {
        setting: setting.to_owned(),
        problem: format!(
            "has a URL that is not encrypted: it must start with https://. Only an emulator may use http://, on this machine \
             or on the host in the setting `{EMULATOR_HOST}`"
        ),
    })
}
