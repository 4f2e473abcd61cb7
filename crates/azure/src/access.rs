//! How a connection authenticates.

use azure_core::{credentials::Secret, http::Url};
use devicestate_engine::settings::{ConfigError, Settings};

use crate::{connection_string, identity::Identity};

/// How a connection authenticates. `Debug` does not print the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// With the account's key.
    Key(Secret),
    /// With a Microsoft Entra token.
    Identity(Identity),
}

/// Returns the URL of a service from a setting such as `CosmosConnection__accountEndpoint`; `None` if the setting is missing.
///
/// # Errors
///
/// [`ConfigError::Connection`] if the value is not a URL.
pub fn endpoint(settings: &Settings, name: &str) -> Result<Option<Url>, ConfigError> {
    settings.get(name).map(|address| connection_string::parse_url(name, "must be", address)).transpose()
}
