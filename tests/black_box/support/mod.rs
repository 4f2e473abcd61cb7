//! What the tests stand on: a function app in a temporary folder, the handler as its child process, a small HTTP
//! client, and builders for what the host and the devices send.

pub(crate) mod app;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../../support/dead_letter_schema.rs"]
mod dead_letter_schema;
mod envelope;
mod fold;
#[path = "../../support/http.rs"]
pub(crate) mod http;
mod protobuf;
#[path = "../../support/record_schema.rs"]
mod record_schema;
mod reply;

use std::{fs, path::Path};

use serde_json::Value;

pub(crate) use app::{App, FUNCTION, Handler, SESSIONS, WATCH, free_port, pause};
pub(crate) use dead_letter_schema::read_letter;
pub(crate) use envelope::{Batch, EVENT_HUB, Event, NAMESPACE, TIME_ZERO_MS};
pub(crate) use fold::Fold;
pub(crate) use http::{Framing, Response, request};
pub(crate) use protobuf::Message;
pub(crate) use record_schema::read_record;
pub(crate) use reply::{Reply, queue_records};

/// A JSON file of this repository.
pub(crate) fn repository_file(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A request as it is kept in `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> Value {
    repository_file(&format!("tests/fixtures/{name}.json"))
}

/// Bytes from hexadecimal digits.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let byte = |start| u8::from_str_radix(&digits[start..start + 2], 16).expect("two hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes all");
        digits
    })
}

/// Bytes as base64.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The bytes in some base64.
pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}
