//! Finds the JSON of an event's body: unpacks it and converts it from other formats.

use std::borrow::Cow;

use devicestate_engine::{batch::Event, telemetry::Poison};
use serde_json::{Map, Value};

use crate::formats::Formats;

/// An event without its wrapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrapped<'e> {
    /// The telemetry.
    pub content: Content<'e>,
    /// The attributes of the CloudEvent that contained it, by name; empty if none did.
    pub cloud_event: Map<String, Value>,
}

/// The telemetry of an event, in the form in which it is mapped.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'e> {
    /// JSON text in UTF-8, which is not parsed yet: one value or several.
    Json(Cow<'e, [u8]>),
    /// What another format was converted to: one value.
    Value(Value),
    /// What a batch contained, each part with attributes of its own. A part that is damaged is a record that fails.
    Parts(Vec<Result<Unwrapped<'static>, Poison>>),
}

/// Unwraps an event.
///
/// # Errors
///
/// Returns a [`Poison`] that says what is damaged.
pub fn unwrap<'e>(event: &'e Event, formats: &Formats) -> Result<Unwrapped<'e>, Poison> {
    let _ = formats;
    Ok(Unwrapped { content: Content::Json(Cow::Borrowed(&event.body)), cloud_event: Map::new() })
}

/// Returns the attributes of a CloudEvent in binary mode, which are application properties of the event, by name.
#[must_use]
pub fn cloud_event_attributes(properties: &Map<String, Value>) -> Map<String, Value> {
    let _ = properties;
    Map::new()
}
