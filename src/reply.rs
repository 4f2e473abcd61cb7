//! The reply out: what the host understands, and nothing else.
//!
//! Outputs stand under the exact binding name, as an array of strings: the one form that the queue binding passes on
//! verbatim. `Logs` is an array of strings. The body is never empty, since the host would wait for ever.

use std::collections::BTreeMap;

use serde::Serialize;

/// The body of a 2xx reply.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply<'a> {
    outputs: BTreeMap<&'a str, &'a [String]>,
    logs: &'a [String],
    return_value: (),
}

impl<'a> Reply<'a> {
    /// A reply with these messages for the queue binding of this name, and these lines for the host's log.
    #[must_use]
    pub fn new(binding: &'a str, messages: &'a [String], logs: &'a [String]) -> Self {
        Self { outputs: BTreeMap::from([(binding, messages)]), logs, return_value: () }
    }

    /// A reply of a function that has no output, with these lines for the host's log.
    #[must_use]
    pub fn of_logs(logs: &'a [String]) -> Self {
        Self { outputs: BTreeMap::new(), logs, return_value: () }
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings are always JSON")
    }
}
