//! Why the experiment cannot start or complete.

use std::{io, path::PathBuf};

use devicestate_engine::text::error_message;

use crate::lists::ListStoreError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Lists(#[from] ListStoreError),
    #[error("cannot start an instance: {}", error_message(.0))]
    Start(io::Error),
    #[error("an invocation failed: {0}\nIf too many files are open, run `ulimit -n 4096` or reduce --at-once")]
    Invocation(String),
    #[error("every event was appended before the crash; increase --events or reduce --batch")]
    NoCrash,
    #[error("cannot write the picture {}: {}; check --svg", path.display(), error_message(error))]
    Picture { path: PathBuf, error: io::Error },
}

impl Error {
    /// Returns 2 if the experiment could not start, 1 if it failed later.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Lists(_) | Self::Start(_) => 2,
            Self::Invocation(_) | Self::NoCrash | Self::Picture { .. } => 1,
        }
    }
}
