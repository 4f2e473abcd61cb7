//! Why the experiment cannot be made, or not be finished.

use std::{io, path::PathBuf};

use crate::lists::Unreachable;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A list.
    #[error(transparent)]
    Lists(#[from] Unreachable),
    /// A thread or a port.
    #[error("an instance cannot start: {0}")]
    Start(io::Error),
    /// An invocation failed that was not meant to.
    #[error("an invocation failed: {0}\nIf there are too many open files: ulimit -n 4096, or a smaller --at-once")]
    Invocation(String),
    /// The crash did not come.
    #[error("every event was appended before the crash: more events, or a smaller --batch")]
    NoCrash,
    /// The picture.
    #[error("{}: {error} (option --svg)", path.display())]
    Picture { path: PathBuf, error: io::Error },
}

impl Error {
    /// 2 for what could not begin, 1 for what went wrong under way.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Lists(_) | Self::Start(_) => 2,
            Self::Invocation(_) | Self::NoCrash | Self::Picture { .. } => 1,
        }
    }
}
