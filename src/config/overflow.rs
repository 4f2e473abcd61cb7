//! Where dead letters go that are too large for the queue, by the settings.

use std::path::PathBuf;

use devicestate_azure::StorageConnection;
use devicestate_engine::{
    function_app::QueueOutput,
    settings::{ConfigError, Settings},
};
use devicestate_sqlite::folder_beside;

use super::{StoreConfig, queue::queue_connection};

/// Where dead letters go that are too large for the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverflowConfig {
    /// `DeadLetterDirectory`: into this folder. Without it, with `StateStore` `sqlite`, into one beside the file.
    Directory(PathBuf),
    /// Into blobs of the account that has the function's queue.
    Blobs {
        /// The connection of the queue's binding, `DeadLetterStorage` in the app that ships.
        connection: Box<StorageConnection>,
        /// `DeadLetterContainer`: `deadletters` by default.
        container: String,
    },
    /// Nowhere: their bodies are cut.
    Nowhere {
        /// The setting that could hold the connection of the queue's binding.
        connection: String,
    },
}

impl OverflowConfig {
    /// Reads the settings, for a function whose dead letters go to this queue. What is not going to be used is not read,
    /// so a mistake in it is no error.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn from_settings(settings: &Settings, store: &StoreConfig, queue: &QueueOutput) -> Result<Self, ConfigError> {
        if let Some(path) = settings.get("DeadLetterDirectory") {
            return Ok(Self::Directory(path.into()));
        }
        // A machine that keeps its documents in a file keeps its dead letters beside it, wherever the host's queue is.
        if let StoreConfig::Sqlite(path) = store {
            return Ok(Self::Directory(folder_beside(path)));
        }
        let (name, connection) = queue_connection(settings, queue)?;
        let Some(connection) = connection else { return Ok(Self::Nowhere { connection: name }) };
        let container = settings.parse(
            "DeadLetterContainer",
            "deadletters".to_owned(),
            "3 to 63 lower-case letters, digits and single dashes",
            |name| is_container(name).then(|| name.to_owned()),
        )?;
        Ok(Self::Blobs { connection: Box::new(connection), container })
    }

    /// The same for a tool: see [`StorageConnection::for_a_tool`].
    #[must_use]
    pub fn for_a_tool(self) -> Self {
        match self {
            Self::Blobs { connection, container } => {
                Self::Blobs { connection: Box::new(connection.for_a_tool()), container }
            }
            other => other,
        }
    }
}

/// Whether the service takes this name for a container.
fn is_container(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&name.len()) && name.split('-').all(is_part)
}
