//! Where a dead letter goes that is too large for the queue, and how it is had back.

mod directory;

use std::{io::ErrorKind, path::PathBuf};

use async_trait::async_trait;

use super::{DeadLetter, Fingerprint, Pointer};
use crate::{failure::Cause, text::truncated};

pub use directory::Directory;

/// A place for dead letters that do not fit into the queue.
#[async_trait]
pub trait Overflow: Send + Sync {
    /// Keeps these bytes under this name and tells where they are. What is there under the name is replaced: the name
    /// has a dead letter's id and a digest of its text in it, so it is the same text.
    ///
    /// # Errors
    ///
    /// [`OverflowError`], when they are not surely kept.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError>;

    /// What was kept there, by the location that a message gives. Of that only the name at its end counts, and it is
    /// looked for here and nowhere else: whoever can write into the queue must not choose the file or the host.
    ///
    /// Nothing says that it is what was kept: see [`Pointer::fetch`].
    ///
    /// # Errors
    ///
    /// [`OverflowError`]; [`OverflowError::is_message_specific`] tells whether others may fare better.
    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError>;
}

/// Why a dead letter could not be kept, or not be had back.
#[derive(Debug, thiserror::Error)]
pub enum OverflowError {
    /// The folder.
    #[error(
        "a dead letter too large for the queue cannot be written to {}: {error} (setting DeadLetterDirectory)",
        path.display()
    )]
    FileWriteFailed {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The place, wherever it is.
    #[error("a dead letter too large for the queue cannot be kept: {0}")]
    WriteFailed(Cause),
    /// It took longer than the invocation may.
    #[error("a dead letter too large for the queue cannot be kept as {name} in the time of InvocationBudget")]
    TooSlow {
        /// Its name.
        name: String,
    },
    /// The message's location names nothing that could have been kept, so nothing was looked for.
    #[error(
        "the message says that the whole dead letter is at {location:?}, which ends in no name of one: no handler wrote \
         this, so look where the message comes from, and discard it"
    )]
    InvalidLocation {
        /// What the message says, in short.
        location: String,
    },
    /// It is not there.
    #[error(
        "the whole dead letter is not there: {place} has no {name}. The message says {location:?}: if the handler has \
         another place for them, give the same one here (setting {setting}); if it was moved, put it back; if it was \
         deleted, only the message is left"
    )]
    Missing {
        /// What was looked for.
        name: String,
        /// Where, for people.
        place: String,
        /// What leads there.
        setting: String,
        /// What the message says, in short.
        location: String,
    },
    /// Not even the place is there, and so none of those that should be.
    #[error(
        "the large dead letters are not there: there is no {place}. A message says {location:?}: if the handler has \
         another place for them, give the same one here (setting {setting}); if all of them are gone for good, make an \
         empty one, and each is told of as missing"
    )]
    StorageMissing {
        /// Where, for people.
        place: String,
        /// What leads there.
        setting: String,
        /// What the message says, in short.
        location: String,
    },
    /// The folder has it, but does not give it.
    #[error("the whole dead letter cannot be read from {}: {error} (setting DeadLetterDirectory)", path.display())]
    FileReadFailed {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The place cannot be read, and so none of those that lie there.
    #[error("the whole dead letter cannot be read: {0}")]
    ReadFailed(Cause),
    /// The place can be read, and does not give this one.
    #[error("the whole dead letter cannot be read: {0}")]
    ReadRejected(Cause),
    /// What is there is something else.
    #[error(
        "what lies at {location:?} is not the dead letter that was kept there: it has {} bytes with SHA-256 {}, and the \
         message says {} bytes with {}. Put the right one back, or discard the message",
        found.length, found.sha256, expected.length, expected.sha256
    )]
    Changed {
        /// What the message says, in short.
        location: String,
        /// What should be there.
        expected: Fingerprint,
        /// What is there.
        found: Fingerprint,
    },
}

impl OverflowError {
    /// It took longer than the invocation may.
    #[must_use]
    pub fn too_slow(name: &str) -> Self {
        Self::TooSlow { name: name.to_owned() }
    }

    /// Whether it is the matter of this one dead letter, so that others may fare better: it is not there, is not what it
    /// was, or cannot be read though its place can. Otherwise the place is out, and so are all that lie there.
    #[must_use]
    pub fn is_message_specific(&self) -> bool {
        match self {
            Self::InvalidLocation { .. } | Self::Missing { .. } | Self::Changed { .. } | Self::ReadRejected(_) => true,
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
    /// Keeps this whole dead letter, and gives back what points at it.
    ///
    /// # Errors
    ///
    /// [`OverflowError`], when it is not surely kept.
    pub async fn store_in(&self, overflow: &dyn Overflow) -> Result<Pointer, OverflowError> {
        self.store_text_in(self.to_json().into_bytes(), overflow).await
    }

    /// The same with a text that this was read from: it may tell more than is known here.
    ///
    /// # Errors
    ///
    /// As [`DeadLetter::store_in`].
    pub async fn store_text_in(&self, whole: Vec<u8>, overflow: &dyn Overflow) -> Result<Pointer, OverflowError> {
        let fingerprint = Fingerprint::of_bytes(&whole);
        // Another owner of the partition has another text, and the message of each must go on pointing at its own.
        let name = format!("{}-{}", self.id, &fingerprint.sha256[..8]);
        let location = overflow.put(&name, whole).await?;
        Ok(Pointer { location, fingerprint })
    }
}

impl Pointer {
    /// The whole dead letter that this points at, once it is sure that it is the one that was kept.
    ///
    /// # Errors
    ///
    /// Those of [`Overflow::get`], and [`OverflowError::Changed`].
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

/// The name at the end of a location, if it is one that [`DeadLetter::store_in`] has given.
///
/// # Errors
///
/// [`OverflowError::InvalidLocation`].
pub fn name_in_location(location: &str) -> Result<&str, OverflowError> {
    // A path of Windows has backslashes, which no name has.
    let name = location.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = |stem: &str| {
        (1..=LONGEST_NAME).contains(&stem.len())
            && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match name.strip_suffix(".json") {
        Some(stem) if is_plain(stem) => Ok(name),
        _ => Err(OverflowError::InvalidLocation { location: without_query(location) }),
    }
}

/// Far longer than any that was given, and short enough for each file system.
const LONGEST_NAME: usize = 200;

/// A location as errors tell it: in short, and without a query, since somebody may have put a signature there.
#[must_use]
pub fn without_query(location: &str) -> String {
    truncated(location.split('?').next().unwrap_or_default())
}
