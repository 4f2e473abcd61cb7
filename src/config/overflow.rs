//! Where dead letters go that are too large for the queue, by the settings.

use std::path::PathBuf;

use super::StoreConfig;
use crate::{
    azure::StorageConnection,
    settings::{ConfigError, Settings},
};

/// Where dead letters go that are too large for the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverflowConfig {
    /// `DeadLetterDirectory`: into this folder. Without it, with `StateStore` `sqlite`, into one beside the file.
    Directory(PathBuf),
    /// Into blobs of the account that has the queue.
    Blobs {
        /// `DeadLetterStorage`, the connection of the queue.
        connection: Box<StorageConnection>,
        /// `DeadLetterContainer`: `deadletters` by default.
        container: String,
    },
    /// Nowhere: their bodies are cut.
    Nowhere,
}

impl OverflowConfig {
    /// Reads the settings. What is not going to be used is not read, so a mistake in it is no error.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn from_settings(settings: &Settings, store: &StoreConfig) -> Result<Self, ConfigError> {
        if let Some(path) = settings.get("DeadLetterDirectory") {
            return Ok(Self::Directory(path.into()));
        }
        // A machine that keeps its documents in a file keeps its dead letters beside it, wherever the host's queue is.
        if let StoreConfig::Sqlite(path) = store {
            return Ok(Self::Directory(format!("{}-dead-letters", path.display()).into()));
        }
        let Some(connection) = StorageConnection::from_settings(settings, "DeadLetterStorage")? else {
            return Ok(Self::Nowhere);
        };
        let container = settings.parse(
            "DeadLetterContainer",
            "deadletters".to_owned(),
            "3 to 63 lower-case letters, digits and single dashes",
            |name| is_container(name).then(|| name.to_owned()),
        )?;
        Ok(Self::Blobs { connection: Box::new(connection), container })
    }
}

/// Whether the service takes this name for a container.
fn is_container(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&name.len()) && name.split('-').all(is_part)
}
