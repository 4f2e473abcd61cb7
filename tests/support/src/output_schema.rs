//! The schema of command output, which everything that a test reads with `-o json` must satisfy.

use std::sync::LazyLock;

use jsonschema::{Registry, RegistryBuilder, Validator};
use serde_json::Value;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("the schema is JSON");
    let dead_letter = read(include_str!("../../../docs/reference/dead-letter.schema.json"));
    let output = read(include_str!("../../../docs/reference/output.schema.json"));
    jsonschema::meta::validate(&output).expect("a schema");
    let registry = Registry::new().add("urn:devicestate:dead-letter", dead_letter).and_then(RegistryBuilder::prepare);
    let registry = registry.expect("a schema of draft 2020-12");
    jsonschema::draft202012::options().with_registry(&registry).build(&output).expect("a schema of draft 2020-12")
});

/// Reads what a command printed with `-o json`, checks that it satisfies `docs/reference/output.schema.json` and that its
/// outcome agrees with the exit code, and returns `data`.
#[track_caller]
pub fn read_output(text: impl AsRef<[u8]>, exit_code: Option<i32>) -> Value {
    let text = text.as_ref();
    let mut output: Value = serde_json::from_slice(text)
        .unwrap_or_else(|error| panic!("not one JSON value: {error}: {}", String::from_utf8_lossy(text)));
    let schema_errors: Vec<_> =
        SCHEMA.iter_errors(&output).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(schema_errors.is_empty(), "not valid by docs/reference/output.schema.json: {schema_errors:#?}");
    let expected = match exit_code {
        Some(0) => "succeeded",
        Some(1 | 129 | 130 | 143) => "failed",
        other => panic!("a command that prints a result ends with 0, 1 or by a signal, not with {other:?}"),
    };
    assert_eq!(output["outcome"], expected, "the outcome agrees with the exit code");
    output["data"].take()
}
