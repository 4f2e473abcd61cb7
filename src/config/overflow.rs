//! The settings of the overflow storage: where dead letters go that are too large for the queue.

use std::path::PathBuf;

use devicestate_azure::StorageConnection;
use devicestate_engine::{
    function_app::QueueOutput,
    settings::{ConfigError, Settings},
};
use devicestate_sqlite::dead_letter_folder;

use super::{StoreConfig, queue::queue_connection};

/// Where dead letters go that are too large for the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverflowConfig {
    /// `DeadLetterDirectory`: this folder. If the setting is missing and `StateStore` is `sqlite`, a folder next to the
    /// state file.
    Directory(PathBuf),
    /// Blobs of the storage account that has the function's queue.
    Blobs {
        /// The connection of the queue binding, `DeadLetterStorage` in the app that ships.
        connection: Box<StorageConnection>,
        /// `DeadLetterContainer`. Default: `deadletters`.
        container: String,
    },
    /// There is no overflow storage: bodies that are too large are truncated.
    Disabled {
        /// The setting that would hold the connection of the queue binding.
        connection: String,
    },
}

impl OverflowConfig {
    /// Reads the settings, for a function with this dead-letter queue. Settings that are not used are not read, so an
    /// invalid value of such a setting is not an error.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] if a setting that is used is invalid.
    pub fn from_settings(settings: &Settings, store: &StoreConfig, queue: &QueueOutput) -> Result<Self, ConfigError> {
        if let Some(path) = settings.get("DeadLetterDirectory") {
            return Ok(Self::Directory(path.into()));
        }
        // If the documents are in a file, the large dead letters are next to it, even if the queue is in a storage account.
        if let StoreConfig::Sqlite(file) = store {
            return Ok(Self::Directory(dead_letter_folder(&file.path)));
        }
        let queue = queue_connection(settings, queue)?;
        let Some(connection) = queue.connection else { return Ok(Self::Disabled { connection: queue.setting }) };
        let container = settings.parse(
            "DeadLetterContainer",
            "deadletters".to_owned(),
            "3 to 63 lower-case letters, digits and single dashes",
            |name| is_container_name(name).then(|| name.to_owned()),
        )?;
        Ok(Self::Blobs { connection: Box::new(connection), container })
    }

    /// Returns the same configuration with the retry limits of a tool: see [`StorageConnection::with_tool_retries`].
    #[must_use]
    pub fn with_tool_retries(self) -> Self {
        match self {
            Self::Blobs { connection, container } => {
                Self::Blobs { connection: Box::new(connection.with_tool_retries()), container }
            }
            other => other,
        }
    }
}

/// Returns true if Azure Storage accepts this name for a container.
fn is_container_name(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&name.len()) && name.split('-').all(is_part)
}
