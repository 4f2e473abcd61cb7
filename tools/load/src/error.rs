//! Why a run cannot begin, or not be finished.

use std::{io, time::Duration};

use devicestate_terminal::clean;

use crate::reply::BadReply;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The loop of this process.
    #[error("the driver cannot start: {0}")]
    Runtime(io::Error),
    /// The processor time of this process.
    #[error("the driver reads processor times from /proc, as Linux has it: {0}")]
    NoProc(io::Error),
    /// A connection.
    #[error("no connection to {address}: {error} (option --url): is the handler there?")]
    Connect { address: String, error: io::Error },
    /// A look at the counts before anything was sent.
    #[error("GET /state: {0} (option --counts): peers answer it; devicestate tells its counts in its records")]
    NoState(String),
    /// A look at the handler's process before anything was sent.
    #[error("process {pid}: {error} (option --pid)")]
    NoProcess { pid: u32, error: io::Error },
    /// A look at the handler's process afterwards.
    #[error("process {pid} is gone: {error}")]
    ProcessGone { pid: u32, error: io::Error },
    /// A look at the counts afterwards.
    #[error("GET /state, after the run: {0}")]
    StateGone(String),
    /// An answer that is none the host would take for success.
    #[error("partition {partition}, request {number}: {failure}")]
    Request { partition: u8, number: u64, failure: Failure },
    /// The same, when the last batch is sent again.
    #[error("partition {partition}, its last batch again: {failure}")]
    Again { partition: u8, failure: Failure },
    /// Silence.
    #[error("no reply for {} s", .0.as_secs())]
    Silence(Duration),
    /// Nothing to be measured.
    #[error("no reply came in the time that is counted: more --seconds")]
    NothingCounted,
}

/// What became of a request in place of a reply with 200.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection.
    #[error("no answer: {0}")]
    Connection(#[from] io::Error),
    /// The handler ended it.
    #[error("no answer: the handler closed the connection")]
    Closed,
    /// No HTTP, or none that the host understands.
    #[error("the answer cannot be read: {0}")]
    Unreadable(#[from] BadReply),
    /// Another status.
    #[error("the handler answered {status}: {body}")]
    Status { status: u16, body: String },
    /// A success without a body.
    #[error("the handler answered 200 without a body, for which the host would wait until functionTimeout")]
    Empty,
}

impl Error {
    /// 2 for what could not begin, 1 for what went wrong under way.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Runtime(_) | Self::NoProc(_) | Self::Connect { .. } | Self::NoState(_) | Self::NoProcess { .. } => 2,
            Self::ProcessGone { .. }
            | Self::StateGone(_)
            | Self::Request { .. }
            | Self::Again { .. }
            | Self::Silence(_)
            | Self::NothingCounted => 1,
        }
    }
}

/// As much of an answer's body as fits into a line.
pub(crate) fn truncated(body: &[u8]) -> String {
    const LONGEST: usize = 300;
    let text = clean(&String::from_utf8_lossy(body)).replace(['\n', '\t'], " ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
