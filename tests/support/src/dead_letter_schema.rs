//! The schema of dead letters. Tests validate every dead letter that they read.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!("../../../docs/reference/dead-letter.schema.json");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("a schema of draft 2020-12")
});

/// Returns the violations of the schema in a dead letter; empty if there are none.
pub fn schema_errors(letter: &Value) -> Vec<String> {
    SCHEMA.iter_errors(letter).map(|error| format!("{}: {}", error.instance_path(), error.masked())).collect()
}

/// Parses a dead letter, of the queue or of the overflow storage, and validates it.
#[track_caller]
pub fn read_dead_letter(text: impl AsRef<[u8]>) -> Value {
    let letter = serde_json::from_slice(text.as_ref()).expect("a dead letter is JSON");
    let schema_errors = schema_errors(&letter);
    assert!(schema_errors.is_empty(), "{schema_errors:#?} in {:.2000}", letter.to_string());
    letter
}
