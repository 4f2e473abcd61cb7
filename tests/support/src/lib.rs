//! Support for tests of the complete program: a function app in a temporary folder, the handler as its child process, a small
//! HTTP client, builders for the requests of the host and the events of devices, schemas, and programs that are built once.
//!
//! Begin with [`App`]. Nothing here links the product: it relies on the host's contract, the settings and the command line.
#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "only tests use it"
)]

pub mod app;
pub mod dead_letter_schema;
mod envelope;
mod event_stream;
mod fold;
pub mod form;
pub mod http;
pub mod listener;
pub mod npm;
pub mod output_schema;
mod ports;
pub mod program;
pub mod record_schema;
mod recording;
mod reply;
pub mod report_page;
pub mod session_message;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use serde_json::Value;

pub use app::{App, DEAD_LETTER_MONITOR, DEVICES, FUNCTION, Handler, SESSIONS, SILENCE_WATCH, pause};
pub use dead_letter_schema::read_dead_letter;
pub use envelope::{Batch, EVENT_HUB, Event, NAMESPACE, TIME_ZERO_MS, retry_context};
pub use event_stream::EventStream;
pub use fold::Fold;
pub use http::{Framing, Response, request};
pub use output_schema::read_output;
pub use ports::free_port;
pub use record_schema::read_record;
pub use recording::{Recording, recording, recordings};
pub use reply::{Reply, queue_records};

/// Returns the folder of this repository.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        root.canonicalize().expect("this package is two folders below")
    });
    &ROOT
}

/// Reads a JSON file of this repository.
pub fn repository_file(path: &str) -> Value {
    let path = root().join(path);
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a request in `tests/fixtures`.
pub fn fixture(name: &str) -> Value {
    repository_file(&format!("tests/fixtures/{name}.json"))
}

/// Decodes hexadecimal digits.
pub fn hex(digits: &str) -> Vec<u8> {
    let byte = |start| u8::from_str_radix(&digits[start..start + 2], 16).expect("two hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Returns the SHA-256 of bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("writing to a string does not fail");
        digits
    })
}

/// Encodes bytes as base64.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Decodes base64.
pub fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}
