//! JSON Pointers (RFC 6901).

use std::fmt;

use serde_json::Value;

/// A JSON Pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    text: String,
    /// The unescaped names or indexes.
    pub(crate) steps: Vec<String>,
}

impl Pointer {
    /// Parses a pointer; the error says what would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() { Ok(Self::root()) } else { Err("a JSON Pointer begins with `/`".into()) };
        };
        let steps = rest.split('/').map(|step| {
            let is_escaped = |part: &str| part.starts_with(['0', '1']);
            if !step.split('~').skip(1).all(is_escaped) {
                return Err("in a JSON Pointer, `~` is written `~0` and a `/` of a name `~1`".to_owned());
            }
            Ok(step.replace("~1", "/").replace("~0", "~"))
        });
        Ok(Self { text: text.to_owned(), steps: steps.collect::<Result<_, _>>()? })
    }

    /// Returns the pointer to the entire value.
    pub(crate) fn root() -> Self {
        Self { text: String::new(), steps: Vec::new() }
    }

    /// Returns the value that the pointer refers to.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(value, |value, step| step_into(value, step))
    }

    /// Returns the addresses of the values that the pointer leads through, as far as they exist.
    pub(crate) fn passed(&self, value: &Value) -> Vec<*const Value> {
        let mut steps = self.steps.iter();
        let values = std::iter::successors(Some(value), |value| step_into(value, steps.next()?));
        values.map(std::ptr::from_ref).collect()
    }
}

fn step_into<'v>(value: &'v Value, step: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(step),
        Value::Array(elements) => elements.get(index(step)?),
        _ => None,
    }
}

/// Returns the index of an element: without a sign and without leading zeros.
pub(crate) fn index(step: &str) -> Option<usize> {
    let is_plain = step.bytes().all(|byte| byte.is_ascii_digit()) && (step.len() == 1 || !step.starts_with('0'));
    if is_plain { step.parse().ok() } else { None }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "\"\"" } else { &self.text })
    }
}
