//! Dead letters, read as plain JSON without the product's code.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_test_support::dead_letter_schema::schema_errors;
use serde_json::Value;

use crate::World;

/// The members of a dead letter that the checks need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) partition: String,
    pub(crate) sequence_number: i64,
    /// The event's body, from the message or from the overflow.
    pub(crate) body: Vec<u8>,
}

impl DeadLetter {
    /// Reads a message, or the blob that it refers to.
    ///
    /// # Errors
    ///
    /// The message or its blob is not a valid dead letter, by the schema or by what the checks need.
    pub(crate) fn read(world: &World, message: &[u8]) -> Result<Self, String> {
        let mut value = read_valid(message)?;
        if let Some(location) = value["Overflow"]["Location"].as_str() {
            let blob = world.overflow_store.blob(location).ok_or_else(|| format!("the blob {location} is missing"))?;
            let complete = read_valid(&blob).map_err(|error| format!("{location}: {error}"))?;
            if complete["Id"] != value["Id"] {
                return Err(format!("the blob {location} is another dead letter"));
            }
            value = complete;
        }
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).ok_or_else(|| format!("a member is not a string: {value}"))
        };
        let body = text(&value["EventData"]["Body"])?;
        Ok(Self {
            id: text(&value["Id"])?,
            namespace: text(&value["Source"]["FullyQualifiedNamespace"])?,
            partition: text(&value["Source"]["PartitionId"])?,
            sequence_number: value["EventData"]["SequenceNumber"].as_i64().ok_or("its sequence number is missing")?,
            body: BASE64_STANDARD.decode(body).map_err(|error| format!("its body is not valid base64: {error}"))?,
        })
    }
}

/// Parses a dead letter and validates it.
fn read_valid(text: &[u8]) -> Result<Value, String> {
    let value = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let errors = schema_errors(&value);
    if errors.is_empty() { Ok(value) } else { Err(format!("it does not satisfy the schema: {errors:?}")) }
}
