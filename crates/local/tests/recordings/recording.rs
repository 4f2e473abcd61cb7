//! A recorded request, and the comparison with one that the stand-in makes of the same events.

use std::{ops::Deref, path::PathBuf};

use devicestate_engine::function_app::{DataType, Function, QueueOutput, Trigger};
use devicestate_local::envelope::{Exception, Failure, Retry};
use devicestate_test_support::{recording, root};

/// A recorded request.
pub(crate) struct Recording {
    sent: devicestate_test_support::Recording,
    /// The body without the framing.
    pub(crate) body: String,
}

impl Deref for Recording {
    type Target = devicestate_test_support::Recording;

    fn deref(&self) -> &Self::Target {
        &self.sent
    }
}

impl From<devicestate_test_support::Recording> for Recording {
    fn from(sent: devicestate_test_support::Recording) -> Self {
        Self { body: String::from_utf8(sent.body()).expect("UTF-8"), sent }
    }
}

/// Returns the path of a recording.
pub(crate) fn path(file: &str) -> PathBuf {
    root().join("tests/fixtures/host").join(file)
}

impl Recording {
    pub(crate) fn read(name: &str) -> Self {
        recording(name).into()
    }

    /// Returns the invocation id.
    pub(crate) fn invocation_id(&self) -> &str {
        self.header("X-Azure-Functions-InvocationId").expect("an invocation id")
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

    /// Returns `RetryContext` of the request: the attempt, and why the one before failed.
    pub(crate) fn retry(&self) -> Option<Retry> {
        let context = &self.envelope()["Metadata"]["RetryContext"];
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
