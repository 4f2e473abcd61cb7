//! A recorded request, and the comparison with one that the stand-in makes of the same events.

use std::{fs, path::PathBuf};

use devicestate_engine::function_app::{DataType, Function, QueueOutput, Trigger};
use devicestate_local::envelope::{Exception, Failure, Retry};
use serde_json::Value;

/// A recorded request.
pub(crate) struct Recording {
    /// The file's name without its extension.
    pub(crate) name: String,
    /// The request line and the headers, without the empty line.
    pub(crate) head: String,
    /// The body as it was sent: chunks, each with its size.
    pub(crate) chunked: Vec<u8>,
    /// The body without the framing.
    pub(crate) body: String,
}

/// Returns the path of a recording.
pub(crate) fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/host").join(file)
}

impl Recording {
    pub(crate) fn read(name: &str) -> Self {
        let bytes = fs::read(path(&format!("{name}.http"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of the head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("UTF-8");
        let chunked = bytes[end + 4..].to_vec();
        let body = join(&chunked).into_iter().flatten().copied().collect();
        Self { name: name.into(), head, body: String::from_utf8(body).expect("UTF-8"), chunked }
    }

    /// Returns the name of the function.
    pub(crate) fn function(&self) -> &str {
        self.head.strip_prefix("POST /").and_then(|rest| rest.split(' ').next()).expect("a request line")
    }

    /// Returns the invocation id.
    pub(crate) fn invocation_id(&self) -> &str {
        let id = self.head.lines().find_map(|line| line.strip_prefix("X-Azure-Functions-InvocationId: "));
        id.expect("an invocation id")
    }

    /// Returns the port that the host called.
    pub(crate) fn port(&self) -> &str {
        self.head.lines().find_map(|line| line.strip_prefix("Host: 127.0.0.1:")).expect("a port")
    }

    /// Returns the `dataType` of the function, by its name.
    pub(crate) fn data_type(&self) -> DataType {
        let name = self.name.trim_start_matches("servicebus-");
        match name.split('-').next() {
            Some("binary") => DataType::Binary,
            Some("string") => DataType::String,
            _ => DataType::Json,
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Returns `RetryContext` of the request: the attempt, and why the one before failed.
    pub(crate) fn retry(&self) -> Option<Retry> {
        let context = &self.json()["Metadata"]["RetryContext"];
        let count = u32::try_from(context["RetryCount"].as_u64()?).expect("a small number");
        let max_count = context["MaxRetryCount"].as_i64().expect("a number");
        let failed = || Exception::new(self.invocation_id(), Failure::from_reply(503, "busy".into()));
        let exception = context["Exception"].is_object().then(failed);
        Some(Retry { count, max_count, exception })
    }

    /// Compares a body, except for ids, times of the invocation and stack traces.
    pub(crate) fn assert_same(&self, body: &str) {
        let (expected, actual) = (without_ids(&self.body), without_ids(body));
        if expected == actual {
            return;
        }
        let same = expected.bytes().zip(actual.bytes()).take_while(|(one, other)| one == other).count();
        let from = (0..=same.saturating_sub(60)).rev().find(|at| expected.is_char_boundary(*at)).unwrap_or_default();
        let part = |text: &str| text[from..].chars().take(160).collect::<String>();
        panic!("{}: from byte {from} on\n  host     {}\n  stand-in {}", self.name, part(&expected), part(&actual));
    }
}

/// Returns a function with this trigger.
pub(crate) fn function(name: &str, trigger: Trigger) -> Function {
    Function { name: name.into(), trigger, dead_letters: QueueOutput::shipped(), retry: None }
}

/// Returns the chunks of a body.
pub(crate) fn join(mut chunked: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    loop {
        let end = chunked.windows(2).position(|two| two == b"\r\n").expect("the end of a line");
        let size = str::from_utf8(&chunked[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a size");
        chunked = &chunked[end + 2..];
        if size == 0 {
            assert_eq!(chunked, b"\r\n");
            return chunks;
        }
        chunks.push(&chunked[..size]);
        chunked = chunked[size..].strip_prefix(b"\r\n").expect("the end of a chunk");
    }
}

/// The members whose values the host makes anew for each request or each run.
const CHANGING: &[&str] = &[
    "UtcNow",
    "RandGuid",
    "InstanceId",
    "StackTrace",
    "StackTraceString",
    "LockToken",
    "SessionLockedUntil",
    "Identifier",
];

/// Replaces the values of the members that differ between any two requests.
fn without_ids(body: &str) -> String {
    CHANGING.iter().fold(body.to_owned(), |body, name| replace(&body, name, "…"))
}

/// Replaces every text of a member.
pub(crate) fn replace(body: &str, name: &str, value: &str) -> String {
    let start = format!("\"{name}\":\"");
    let mut parts = body.split(&start);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut escaped = false;
        let is_end = |character| {
            let is_end = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            is_end
        };
        let end = part.find(is_end).expect("the end of a text");
        replaced.extend([&start, value, &part[end..]]);
    }
    replaced
}
