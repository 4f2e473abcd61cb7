//! Events, and what they are unwrapped to.

use std::{fs, path::PathBuf};

use devicestate_engine::{
    batch::{Event, EventMetadata, MetadataColumn, Source},
    invocation::attach_metadata,
    telemetry::Poison,
};
use devicestate_telemetry::{
    formats::Formats,
    unwrapping::{Content, Unwrapped, unwrap},
};
use serde_json::Value;

/// An event with a body.
pub(crate) fn event(body: impl AsRef<[u8]>) -> Event {
    Event { body: body.as_ref().to_vec().into(), ..Event::default() }
}

/// An event with a body and a content type.
pub(crate) fn typed(content_type: &str, body: impl AsRef<[u8]>) -> Event {
    Event { content_type: Some(content_type.into()), ..event(body) }
}

/// Adds system properties and application properties, as the host does.
pub(crate) fn with_properties(event: Event, system_properties: &Value, properties: &Value) -> Event {
    let column = |object: &Value| MetadataColumn::new(format!("[{object}]"), 1);
    let metadata = EventMetadata {
        system_properties: column(system_properties),
        properties: column(properties),
        ..EventMetadata::default()
    };
    attach_metadata(Source::default(), vec![event], metadata).events.remove(0)
}

/// Returns the only JSON value that an event is unwrapped to.
pub(crate) fn value(event: &Event, formats: &Formats) -> Value {
    let unwrapped = unwrap(event, formats).unwrap_or_else(|poison| panic!("{poison}: {event:?}"));
    to_value(&unwrapped)
}

/// Returns the JSON value of what was unwrapped, with the values of its parts as an array.
pub(crate) fn to_value(unwrapped: &Unwrapped<'_>) -> Value {
    match &unwrapped.content {
        Content::Json(text) => serde_json::from_slice(text).expect("JSON"),
        Content::Value(value) => value.clone(),
        Content::Parts(parts) => parts.iter().map(|part| to_value(part.as_ref().expect("a valid part"))).collect(),
    }
}

/// Returns why an event is poison.
pub(crate) fn issue(event: &Event, formats: &Formats) -> String {
    match unwrap(event, formats) {
        Err(Poison::Undecodable(issue) | Poison::Invalid(issue)) => issue,
        Ok(unwrapped) => panic!("{unwrapped:?}"),
    }
}

/// Returns the path of a file of `tests/fixtures`.
pub(crate) fn fixture_path(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path)
}

/// Reads a file of `tests/fixtures`.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let path = fixture_path(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Decodes hexadecimal digits.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}
