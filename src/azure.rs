//! Connections to Azure services, as Functions writes them: the setting `Name` holds a connection string, or `Name__…`
//! an endpoint and who is asking.
//!
//! A connection is made of settings without asking anybody, so the handler is ready at once; a service that cannot be
//! reached is an error of the request that needs it.

mod connection_string;
mod identity;
mod shared_key;
mod storage;

use azure_core::{credentials::Secret, http::Url};

use crate::settings::{ConfigError, Settings};

pub use connection_string::ConnectionString;
pub use identity::Identity;
pub use shared_key::SharedKey;
pub use storage::{Fault, Service, StorageConnection, StorageError};

pub(crate) use storage::{Container, Resource};

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
