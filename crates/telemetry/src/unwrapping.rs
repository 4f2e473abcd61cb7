//! Finds the JSON of an event's body: unpacks it and converts it from other formats.
//!
//! The content type decides first, then the content encoding, then what the body cannot be otherwise. A body that begins like
//! JSON is not copied and not parsed here.

mod budget;
mod cloud_events;
mod compression;
mod content_type;
mod description;
mod text;

use std::{borrow::Cow, cell::OnceCell, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_engine::{
    batch::Event,
    telemetry::{Poison, compression::Compression},
};
use memchr::memmem;
use serde_json::{Map, Value};

use crate::formats::{Datums, Formats, Framed, avro_file};
pub(crate) use budget::Budget;
pub use cloud_events::cloud_event_attributes;
use cloud_events::{CloudEvent, CloudEvents};
pub(crate) use compression::{unpack_deflate, unpack_zstd};
use content_type::ContentType;

/// A body may be compressed this many times, and a JSON string be in this many others.
const MAX_LAYERS: usize = 2;

/// An event without its wrapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrapped<'e> {
    /// The telemetry.
    pub content: Content<'e>,
    /// The attributes of the CloudEvent that contained it, by name; empty if none did. Those of a CloudEvent in binary mode are
    /// [application properties](cloud_event_attributes).
    pub cloud_event: Map<String, Value>,
}

/// The telemetry of an event, in the form in which it is mapped.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'e> {
    /// JSON text in UTF-8, which is not parsed yet: one value or several.
    Json(Cow<'e, [u8]>),
    /// What another format was converted to: one value.
    Value(Value),
    /// What a batch of CloudEvents or an Avro file contains, at most [`MAX_RECORDS`](crate::mapping::MAX_RECORDS). Each part is
    /// like an event of its own, and one that is damaged is a record that fails.
    Parts(Vec<Result<Unwrapped<'e>, Poison>>),
}

/// Unwraps an event.
///
/// # Errors
///
/// Returns a [`Poison`] that says what is damaged, or what the body looks like if no format fits it.
pub fn unwrap<'e>(event: &'e Event, formats: &Formats) -> Result<Unwrapped<'e>, Poison> {
    let content_type = ContentType::parse(event.content_type.as_deref());
    let body = &event.body[..];
    if matches!(content_type, ContentType::Json | ContentType::Other) && is_plain_json(body) {
        return Ok(json(Cow::Borrowed(body)));
    }
    let mut unwrapping = Unwrapping {
        event,
        formats,
        budget: Budget::new(body.len()),
        encoding: OnceCell::new(),
        is_in_cloud_event: false,
    };
    unwrapping.unwrap_body(Cow::Borrowed(body), &content_type)
}

/// Returns true if a body begins like JSON and needs no unwrapping.
fn is_plain_json(body: &[u8]) -> bool {
    matches!(body, [b'{' | b'[', second, .., last] if *second != 0 && *last != 0) && !may_be_cloud_event(body)
}

fn may_be_cloud_event(text: &[u8]) -> bool {
    static SPECVERSION: LazyLock<memmem::Finder> = LazyLock::new(|| memmem::Finder::new(b"\"specversion\""));
    SPECVERSION.find(text).is_some()
}

fn json(text: Cow<'_, [u8]>) -> Unwrapped<'_> {
    Unwrapped { content: Content::Json(text), cloud_event: Map::new() }
}

fn content(content: Content<'_>) -> Unwrapped<'_> {
    Unwrapped { content, cloud_event: Map::new() }
}

/// What the layers of one event have in common.
struct Unwrapping<'e, 'f> {
    event: &'e Event,
    formats: &'f Formats,
    budget: Budget,
    encoding: OnceCell<Option<String>>,
    is_in_cloud_event: bool,
}

impl<'e> Unwrapping<'e, '_> {
    fn unwrap_body(&mut self, body: Cow<'e, [u8]>, content_type: &ContentType) -> Result<Unwrapped<'e>, Poison> {
        let body = self.unpack(body, content_type)?;
        match content_type {
            ContentType::Avro(id) => return self.avro(&body, id.as_deref()),
            ContentType::Protobuf => return self.protobuf(&body),
            ContentType::Json | ContentType::CloudEvent | ContentType::CloudEvents | ContentType::Other => {}
        }
        if let Some(datums) = avro_file(&body, &mut self.budget) {
            return datums.map(parts);
        }
        if let Some(datum) = self.formats.avro_single_object(&body, &mut self.budget) {
            return datum.map(|datum| content(Content::Value(datum)));
        }
        let is_text = text::is_utf_16_or_32(&body) && !self.formats.has_schema_id(&body);
        if !is_text && let Some(framed) = self.formats.framed(&body, &mut self.budget) {
            return match framed? {
                Framed::Value(value) => Ok(content(Content::Value(value))),
                Framed::Json(start) => self.cloud_events(text::without_first(body, start), content_type),
            };
        }
        if *content_type == ContentType::Other && self.formats.has_protobuf() && !text::is_json(&body) {
            return self.protobuf(&body);
        }
        if !text::may_be_json(&body) {
            return Err(Poison::Undecodable(description::describe(&body, self.encoding())));
        }
        let text = text::unquote(text::decode(body)?, MAX_LAYERS);
        self.cloud_events(text, content_type)
    }

    /// Unpacks a compressed body.
    fn unpack(&mut self, mut body: Cow<'e, [u8]>, content_type: &ContentType) -> Result<Cow<'e, [u8]>, Poison> {
        for layer in 0.. {
            let is_binary = matches!(content_type, ContentType::Avro(_) | ContentType::Protobuf);
            // The content encoding is that of the body, not of what is packed in it.
            let encoding = || self.encoding().filter(|_| layer == 0 && !self.is_in_cloud_event);
            let Some(format) = compression::detect(&body, is_binary, encoding) else { break };
            if layer == MAX_LAYERS {
                return Err(Poison::Undecodable("the body is compressed more than twice".into()));
            }
            match compression::unpack(&body, format, &mut self.budget) {
                Ok(unpacked) => body = Cow::Owned(unpacked),
                // In protobuf, they are also the tag of field 15 and a number.
                Err(_) if Compression::detect(&body) == Some(Compression::Zlib) && self.formats.has_protobuf() => break,
                Err(poison) => return Err(poison),
            }
        }
        Ok(body)
    }

    fn avro(&mut self, body: &[u8], id: Option<&str>) -> Result<Unwrapped<'e>, Poison> {
        if let Some(datums) = avro_file(body, &mut self.budget) {
            return datums.map(parts);
        }
        let datum = self.formats.avro(body, id, &mut self.budget)?;
        Ok(content(Content::Value(datum)))
    }

    fn protobuf(&mut self, body: &[u8]) -> Result<Unwrapped<'e>, Poison> {
        let message = self.formats.protobuf(body, &mut self.budget)?;
        Ok(content(Content::Value(message)))
    }

    /// Takes the data out of CloudEvents in structured mode.
    fn cloud_events(&mut self, text: Cow<'e, [u8]>, content_type: &ContentType) -> Result<Unwrapped<'e>, Poison> {
        let is_named = matches!(content_type, ContentType::CloudEvent | ContentType::CloudEvents);
        if self.is_in_cloud_event || !is_named && !may_be_cloud_event(&text) {
            return Ok(json(text));
        }
        self.is_in_cloud_event = true;
        let events = match &text {
            Cow::Borrowed(text) => CloudEvents::parse(text, is_named)?,
            Cow::Owned(text) => CloudEvents::parse(text, is_named)?.map(CloudEvents::into_owned),
        };
        match events {
            None => Ok(json(text)),
            Some(CloudEvents::One(event)) => self.data(event),
            Some(CloudEvents::Batch(events)) => {
                let parts = events.into_iter().map(|event| event.and_then(|event| self.data(event))).collect();
                Ok(content(Content::Parts(parts)))
            }
        }
    }

    fn data(&mut self, event: CloudEvent<'e>) -> Result<Unwrapped<'e>, Poison> {
        let CloudEvent { attributes, data, data_base64 } = event;
        let mut unwrapped = match (data, data_base64) {
            (_, Some(base64)) => {
                let bytes = STANDARD.decode(&base64).map_err(|error| {
                    Poison::Undecodable(format!("the member data_base64 of the CloudEvent is not base64: {error}"))
                })?;
                let content_type = attributes.get("datacontenttype").and_then(Value::as_str);
                self.unwrap_body(Cow::Owned(bytes), &ContentType::parse(content_type))?
            }
            (Some(data), None) => json(text::unquote(data, MAX_LAYERS)),
            (None, None) => json(Cow::Borrowed(b"{}")),
        };
        unwrapped.cloud_event = attributes;
        Ok(unwrapped)
    }

    fn encoding(&self) -> Option<&str> {
        self.encoding.get_or_init(|| self.event.cells.content_encoding()).as_deref()
    }
}

fn parts<'e>(datums: Datums) -> Unwrapped<'e> {
    let parts = datums.into_iter().map(|datum| datum.map(|datum| content(Content::Value(datum))));
    content(Content::Parts(parts.collect()))
}
