//! A dead letter as anybody reads it: JSON, with no help from the product.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::World;

/// What the checks need of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) partition: String,
    pub(crate) sequence_number: i64,
    /// The body's bytes, wherever they lie.
    pub(crate) body: Vec<u8>,
}

impl Letter {
    /// Reads a message; a large one where it lies.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn read(world: &World, message: &[u8]) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(message).map_err(|error| format!("it is no JSON: {error}"))?;
        if let Some(location) = value["Overflow"]["Location"].as_str() {
            let kept = world.shelf.kept(location).ok_or_else(|| format!("nothing is kept at {location}"))?;
            let whole: Value = serde_json::from_slice(&kept).map_err(|error| format!("{location}: {error}"))?;
            if whole["Id"] != value["Id"] {
                return Err(format!("{location} is another dead letter"));
            }
            value = whole;
        }
        let text =
            |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("a part is missing: {value}"));
        let body = text(&value["EventData"]["Body"])?;
        Ok(Self {
            id: text(&value["Id"])?,
            namespace: text(&value["Source"]["FullyQualifiedNamespace"])?,
            partition: text(&value["Source"]["PartitionId"])?,
            sequence_number: value["EventData"]["SequenceNumber"].as_i64().ok_or("it has no sequence number")?,
            body: BASE64_STANDARD.decode(body).map_err(|error| format!("its body is no base64: {error}"))?,
        })
    }
}
