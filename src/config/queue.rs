//! Where the queue of the dead letters is, by the settings.

use std::path::PathBuf;

use devicestate_azure::StorageConnection;
use devicestate_engine::{
    function_app::QueueOutput,
    settings::{ConfigError, Settings},
};

/// Where the queue of the dead letters is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueConfig {
    /// `DeadLetterSqlitePath`: in this state file, as `devicestate local` has it and says it to the handler.
    Sqlite(PathBuf),
    /// In a storage account.
    Storage {
        /// The connection of the queue's binding, `DeadLetterStorage` in the app that ships.
        connection: Box<StorageConnection>,
        /// The queue's name.
        name: String,
    },
}

impl QueueConfig {
    /// Reads the settings, for a function whose dead letters go to this queue.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], also when nothing says where the queue is.
    pub fn from_settings(settings: &Settings, queue: &QueueOutput) -> Result<Self, ConfigError> {
        if let Some(path) = settings.get("DeadLetterSqlitePath") {
            return Ok(Self::Sqlite(path.into()));
        }
        let (setting, connection) = queue_connection(settings, queue)?;
        let connection = connection.map(Box::new).ok_or_else(|| {
            ConfigError::missing(
                &setting,
                "it must be a connection string, or with __queueServiceUri behind its name the address of the queues, \
                 for an identity",
            )
        })?;
        Ok(Self::Storage { connection, name: settings.resolve(&queue.queue_name)? })
    }
}

/// The connection of a queue binding, and the name that it has in the settings; `None` where they have none.
///
/// # Errors
///
/// [`ConfigError`].
pub fn queue_connection(
    settings: &Settings,
    queue: &QueueOutput,
) -> Result<(String, Option<StorageConnection>), ConfigError> {
    let name = connection_name(settings, &queue.connection)?;
    let connection = StorageConnection::from_settings(settings, &name)?;
    Ok((name, connection))
}

/// The name that a binding's connection has in the settings. The host looks for it behind `AzureWebJobs` first, and takes
/// a binding without one to mean `AzureWebJobsStorage`.
fn connection_name(settings: &Settings, of_binding: &str) -> Result<String, ConfigError> {
    let name = if of_binding.is_empty() { "Storage".to_owned() } else { settings.resolve(of_binding)? };
    let prefixed = format!("AzureWebJobs{name}");
    let is_prefixed = settings.get(&prefixed).is_some() || settings.has_parts_of(&prefixed);
    Ok(if is_prefixed || of_binding.is_empty() { prefixed } else { name })
}
