//! The overflow: stores dead letters that are too large for the queue, and reads them again.

mod directory;

use std::{io::ErrorKind, path::PathBuf};

use async_trait::async_trait;

use super::{DeadLetter, Fingerprint, Pointer, is_dead_letter_id};
use crate::{
    failure::Cause,
    text::{error_message, truncated},
};

pub use directory::Directory;

/// A store for dead letters that do not fit into the queue.
#[async_trait]
pub trait Overflow: Send + Sync {
    /// Stores these bytes under this name and returns their location. An existing file or blob of that name is replaced:
    /// the name contains the dead letter's id and a digest of its text, so it has the same text.
    ///
    /// # Errors
    ///
    /// Returns an [`OverflowError`] if it is not certain that the bytes are stored.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError>;

    /// Returns the bytes at the location that a message contains. Only the name at its end is used, and only this store is
    /// searched: a sender with access to the queue must not be able to choose the file or the host.
    ///
    /// The content is not verified here: see [`Pointer::fetch`].
    ///
    /// # Errors
    ///
    /// Returns an [`OverflowError`]; with [`OverflowError::is_message_specific`] only this dead letter is affected.
    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError>;
}

/// Why a dead letter could not be stored or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum OverflowError {
    /// A file could not be written.
    #[error(
        "a dead letter too large for the queue cannot be written to {}: {} (setting `DeadLetterDirectory`)",
        path.display(),
        error_message(error)
    )]
    FileWriteFailed {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The overflow could not be written.
    #[error("a dead letter too large for the queue cannot be stored: {0}")]
    WriteFailed(Cause),
    /// Writing took longer than the invocation may take.
    #[error("a dead letter too large for the queue cannot be stored as {name} within `InvocationBudget`")]
    TooSlow {
        /// The name under which it was to be stored.
        name: String,
    },
    /// The dead letter's id is not one that a handler assigns, so nothing was written under that name.
    #[error("the Id {id:?} is not the id of a dead letter: no handler wrote it. Discard the message")]
    InvalidId {
        /// The id, truncated.
        id: String,
    },
    /// The message's location does not end in a name that the overflow assigns, so nothing was read.
    #[error(
        "the location {location:?} in the message does not end in the name of a dead letter: no handler wrote it. Check \
         where the message comes from, and discard it"
    )]
    InvalidLocation {
        /// The location in the message, truncated.
        location: String,
    },
    /// The file or blob does not exist.
    #[error(
        "the complete dead letter is missing: {storage} has no {name}. The location in the message is {location:?}. If the \
         handler uses another one, use its value of the setting {setting} here; if the dead letter was moved, move it \
         back; if it was deleted, only the message is left"
    )]
    Missing {
        /// The name that was not found.
        name: String,
        /// The folder or container, as the error names it.
        storage: String,
        /// The setting or settings that name the folder or container, in backticks.
        setting: String,
        /// The location in the message, truncated.
        location: String,
    },
    /// The folder or container does not exist, and therefore no dead letter in it.
    #[error(
        "the large dead letters are missing: the {storage} does not exist. The location in a message is {location:?}. If the \
         handler uses another one, use its value of the setting {setting} here; if all of them were deleted, create an \
         empty one: then each is reported as missing"
    )]
    StorageMissing {
        /// The folder or container, as the error names it.
        storage: String,
        /// The setting or settings that name the folder or container, in backticks.
        setting: String,
        /// The location in the message, truncated.
        location: String,
    },
    /// The file exists but cannot be read.
    #[error(
        "the complete dead letter cannot be read from {}: {} (setting `DeadLetterDirectory`)",
        path.display(),
        error_message(error)
    )]
    FileReadFailed {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The overflow cannot be read, and therefore no dead letter in it.
    #[error("the complete dead letter cannot be read: {0}")]
    ReadFailed(Cause),
    /// The overflow can be read, but this dead letter cannot.
    #[error("the complete dead letter cannot be read: {0}")]
    ReadRejected(Cause),
    /// The content is not what was stored.
    #[error(
        "the content of {location:?} is not the dead letter that was stored there: it has {} bytes with SHA-256 {}, and \
         the message expects {} bytes with {}. Restore it, or discard the message",
        found.length, found.sha256, expected.length, expected.sha256
    )]
    Changed {
        /// The location in the message, truncated.
        location: String,
        /// The fingerprint in the message.
        expected: Fingerprint,
        /// The fingerprint of the content.
        found: Fingerprint,
    },
}

impl OverflowError {
    /// Creates an [`OverflowError::TooSlow`].
    #[must_use]
    pub fn too_slow(name: &str) -> Self {
        Self::TooSlow { name: name.to_owned() }
    }

    /// Returns true if only this dead letter is affected: it is missing, was changed or cannot be read. Otherwise the
    /// overflow itself is unavailable, and so is every dead letter in it.
    #[must_use]
    pub fn is_message_specific(&self) -> bool {
        match self {
            Self::InvalidId { .. }
            | Self::InvalidLocation { .. }
            | Self::Missing { .. }
            | Self::Changed { .. }
            | Self::ReadRejected(_) => true,
            Self::FileReadFailed { error, .. } => {
                matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::IsADirectory)
            }
            Self::FileWriteFailed { .. }
            | Self::WriteFailed(_)
            | Self::ReadFailed(_)
            | Self::TooSlow { .. }
            | Self::StorageMissing { .. } => false,
        }
    }
}

impl DeadLetter {
    /// Stores this complete dead letter and returns a pointer to it.
    ///
    /// # Errors
    ///
    /// Returns an [`OverflowError`] if it is not certain that it is stored.
    pub async fn store_in(&self, overflow: &dyn Overflow) -> Result<Pointer, OverflowError> {
        self.store_text_in(self.to_json().into_bytes(), overflow).await
    }

    /// Stores the text that this dead letter was read from: it may have members that this version does not support.
    ///
    /// # Errors
    ///
    /// The same as [`DeadLetter::store_in`].
    pub async fn store_text_in(&self, text: Vec<u8>, overflow: &dyn Overflow) -> Result<Pointer, OverflowError> {
        // The id may come from a message, and must not choose the file or the blob.
        if !is_dead_letter_id(&self.id) {
            return Err(OverflowError::InvalidId { id: truncated(&self.id) });
        }
        let fingerprint = Fingerprint::of_bytes(&text);
        // Another owner of the partition may store another text, and each message must keep pointing to its own.
        let name = format!("{}-{}", self.id, &fingerprint.sha256[..HASH_DIGITS]);
        let location = overflow.put(&name, text).await?;
        Ok(Pointer { location, fingerprint })
    }
}

impl Pointer {
    /// Reads the complete dead letter and verifies its fingerprint.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Overflow::get`], and [`OverflowError::Changed`] if the fingerprint does not match.
    pub async fn fetch(&self, overflow: &dyn Overflow) -> Result<Vec<u8>, OverflowError> {
        let bytes = overflow.get(&self.location).await?;
        let found = Fingerprint::of_bytes(&bytes);
        if found == self.fingerprint {
            return Ok(bytes);
        }
        let Fingerprint { length, sha256 } = &self.fingerprint;
        let expected = Fingerprint { length: *length, sha256: truncated(sha256) };
        Err(OverflowError::Changed { location: without_query(&self.location), expected, found })
    }
}

/// Returns the file name at the end of a location, if [`DeadLetter::store_in`] can have assigned it.
///
/// # Errors
///
/// Returns [`OverflowError::InvalidLocation`] for any other name.
pub fn name_in_location(location: &str) -> Result<&str, OverflowError> {
    // Windows paths have backslashes; names never do.
    let name = location.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = |stem: &str| {
        (1..=MAX_NAME_BYTES).contains(&stem.len())
            && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match name.strip_suffix(".json") {
        Some(stem) if is_plain(stem) => Ok(name),
        _ => Err(OverflowError::InvalidLocation { location: without_query(location) }),
    }
}

/// The number of hexadecimal digits of a text's hash in its name.
const HASH_DIGITS: usize = 8;

/// The longest accepted name, in bytes: far longer than any assigned name, and valid in each file system.
const MAX_NAME_BYTES: usize = 200;

/// Returns a location for use in errors: truncated and without its query, which may contain a signature.
#[must_use]
pub fn without_query(location: &str) -> String {
    truncated(location.split('?').next().unwrap_or_default())
}
