//! The settings of the dead-letter queue.

use std::path::PathBuf;

use devicestate_azure::StorageConnection;
use devicestate_engine::{
    function_app::QueueOutput,
    settings::{ConfigError, Settings},
};

/// Where the dead-letter queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueConfig {
    /// `DeadLetterSqlitePath`: in this state file. `devicestate local` sets it for the handlers that it starts.
    Sqlite(PathBuf),
    /// In a storage account.
    Storage {
        /// The connection of the queue binding, `DeadLetterStorage` in the app that ships.
        connection: Box<StorageConnection>,
        /// The queue's name.
        name: String,
    },
}

/// The connection of a queue binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConnection {
    /// The name of the connection in the settings.
    pub setting: String,
    /// `None` if the settings do not have it.
    pub connection: Option<StorageConnection>,
}

impl QueueConfig {
    /// Reads the settings, for a function with this dead-letter queue.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] if a setting is invalid, or the location of the queue is missing.
    pub fn from_settings(settings: &Settings, queue: &QueueOutput) -> Result<Self, ConfigError> {
        if let Some(path) = settings.get("DeadLetterSqlitePath") {
            return Ok(Self::Sqlite(path.into()));
        }
        let QueueConnection { setting, connection } = queue_connection(settings, queue)?;
        let connection = connection.map(Box::new).ok_or_else(|| {
            ConfigError::missing(
                &setting,
                "it must be a connection string; to use an identity, set the URL of the queue service in the setting \
                 of this name with the suffix `__queueServiceUri`",
            )
        })?;
        Ok(Self::Storage { connection, name: settings.resolve(&queue.queue_name)? })
    }
}

/// Reads the connection of a queue binding.
///
/// # Errors
///
/// Returns a [`ConfigError`] if the connection is invalid.
pub fn queue_connection(settings: &Settings, queue: &QueueOutput) -> Result<QueueConnection, ConfigError> {
    let setting = connection_setting(settings, &queue.connection)?;
    let connection = StorageConnection::from_settings(settings, &setting)?;
    Ok(QueueConnection { setting, connection })
}

/// Returns the name of a binding's connection in the settings. Like the host, it prefers the name with the prefix
/// `AzureWebJobs`, and an empty name selects `AzureWebJobsStorage`.
fn connection_setting(settings: &Settings, binding_connection: &str) -> Result<String, ConfigError> {
    let name =
        if binding_connection.is_empty() { "Storage".to_owned() } else { settings.resolve(binding_connection)? };
    let prefixed = format!("AzureWebJobs{name}");
    let is_prefixed = settings.get(&prefixed).is_some() || settings.has_parts_of(&prefixed);
    Ok(if is_prefixed || binding_connection.is_empty() { prefixed } else { name })
}
