//! How a connection shows that it may do what it asks for.

use azure_core::{credentials::Secret, http::Url};
use devicestate_engine::settings::{ConfigError, Settings};

use crate::{connection_string, identity::Identity};

/// How a connection shows that it may do what it asks for. `Debug` does not print the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// With the account's key.
    Key(Secret),
    /// With a token of Microsoft Entra.
    Identity(Identity),
}

/// The address of a service that a setting such as `CosmosConnection__accountEndpoint` holds, if it is there.
///
/// # Errors
///
/// [`ConfigError::Connection`], when it is no address.
pub fn endpoint(settings: &Settings, name: &str) -> Result<Option<Url>, ConfigError> {
    settings.get(name).map(|address| connection_string::parse_url(name, "is", address)).transpose()
}
