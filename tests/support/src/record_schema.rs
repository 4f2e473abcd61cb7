//! The schema of records. Tests validate every record that they read.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!("../../../docs/reference/record.schema.json");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("a schema of draft 2020-12")
});

/// Parses a line of a reply's `Logs` or a record of the handler's log, and validates it.
#[track_caller]
pub fn read_record(line: &str) -> Value {
    let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    assert!(SCHEMA.is_valid(&record), "the record does not satisfy docs/reference/record.schema.json: {line}");
    record
}
