//! Why a run cannot start or complete.

use std::{io, time::Duration};

use devicestate_engine::text::error_message;
use devicestate_local::endpoint::{exchange::ExchangeError, response::InvalidResponseError};
use devicestate_terminal::clean;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot start the driver: {}", error_message(.0))]
    Runtime(io::Error),
    #[error("cannot read the driver's processor time from /proc (Linux only): {}", error_message(.0))]
    NoProc(io::Error),
    #[error(
        "cannot connect to {address}: {}; check that the handler is running and that --url is right",
        error_message(error)
    )]
    Connect { address: String, error: io::Error },
    /// Before the run.
    #[error("GET /state: {0}; for a handler without /state, such as devicestate, use --counts records")]
    StateUnavailable(String),
    /// Before the run.
    #[error("cannot read the processor time of process {pid}: {}; check --pid", error_message(error))]
    NoProcess { pid: u32, error: io::Error },
    /// During or after the run.
    #[error("process {pid} has ended: {}", error_message(error))]
    ProcessLost { pid: u32, error: io::Error },
    /// After the run.
    #[error("GET /state, after the run: {0}")]
    StateLost(String),
    #[error("partition {partition}, request {number}: {error}")]
    Request { partition: u8, number: u64, error: RequestError },
    #[error("partition {partition}, repeated last batch: {error}")]
    RepeatFailed { partition: u8, error: RequestError },
    #[error("no reply arrived for {} s", .0.as_secs())]
    NoReply(Duration),
    #[error("no reply arrived in the measured time; increase --seconds")]
    NothingMeasured,
}

/// Why a request did not get a successful reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("no reply: {}", error_message(.0))]
    Connection(io::Error),
    #[error("no reply: the handler closed the connection")]
    Closed,
    #[error("the reply cannot be read: {0}")]
    InvalidReply(InvalidResponseError),
    #[error("the handler responded {status}: {body}")]
    Status { status: u16, body: String },
    #[error("the handler responded 200 without a body; the host would wait for one until functionTimeout")]
    Empty,
}

impl From<ExchangeError> for RequestError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Connection(error) => Self::Connection(error),
            ExchangeError::Closed => Self::Closed,
            ExchangeError::Invalid(error) => Self::InvalidReply(error),
        }
    }
}

impl Error {
    /// Returns 2 if the run could not start, 1 if it failed later.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Runtime(_)
            | Self::NoProc(_)
            | Self::Connect { .. }
            | Self::StateUnavailable(_)
            | Self::NoProcess { .. } => 2,
            Self::ProcessLost { .. }
            | Self::StateLost(_)
            | Self::Request { .. }
            | Self::RepeatFailed { .. }
            | Self::NoReply(_)
            | Self::NothingMeasured => 1,
        }
    }
}

/// Returns the beginning of a reply's body on one line.
pub(crate) fn truncated(body: &[u8]) -> String {
    const MAX_CHARS: usize = 300;
    let text = clean(&String::from_utf8_lossy(body)).replace(['\n', '\t'], " ");
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
