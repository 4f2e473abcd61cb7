//! Reads the host's envelope: the request of one invocation becomes a batch.
//!
//! All of `Metadata` is optional, and each form that the host sends is accepted: arrays in strings, real arrays, the singular
//! keys of the admin endpoint and of `cardinality: one`. Metadata that does not match the events is never guessed: an event
//! with the version of another would break the order.

mod metadata;

use std::sync::{Arc, LazyLock};

use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurposeConfig, Simd};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, Event, EventCells, EventMetadata, Source},
    function_app::{Cardinality, DataType, Trigger},
    json::{Members, Quotes, Raw, each_member, parse_elements, parse_members, parse_value},
    text::first_chars,
};
use metadata::Metadata;

/// The request of one invocation.
#[derive(Debug)]
pub struct Invocation {
    /// The batch of events.
    pub batch: Batch,
    /// The number of this attempt and of the allowed retries. `None` without a retry policy, when each attempt is the last;
    /// for a message, of its delivery.
    pub retry: Option<RetryContext>,
}

/// `RetryContext` of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RetryContext {
    /// How often this batch was retried before.
    pub retry_count: i64,
    /// The maximum number of retries; -1 is unlimited.
    pub max_retry_count: i64,
}

impl RetryContext {
    /// Returns true if the host sends the batch again when this attempt fails.
    #[must_use]
    pub fn will_retry(self) -> bool {
        self.max_retry_count < 0 || self.retry_count < self.max_retry_count
    }
}

/// Why a request is not a valid envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The request is not a JSON object with `Data`.
    #[error("the request is not an invocation of the Functions host: {0}")]
    NotAnInvocation(String),
    /// `Data` does not have the trigger's binding.
    #[error("the request's Data has no member {name:?}, only {found}: check the trigger's name in function.json")]
    MissingBinding {
        /// The trigger's name.
        name: String,
        /// The names in `Data`.
        found: String,
    },
    /// The binding does not contain events.
    #[error("the request's Data.{name} does not match dataType and cardinality of function.json: {reason}")]
    InvalidEvents {
        /// The trigger's name.
        name: String,
        /// The reason.
        reason: String,
    },
}

impl Invocation {
    /// Returns the number of the batch's attempt, from 1. For a message it is the number of the delivery or, under a retry
    /// policy, of the attempt in this delivery.
    #[must_use]
    pub fn attempt_number(&self) -> i64 {
        match (&self.retry, &self.batch.message) {
            (Some(retry), _) => retry.retry_count.saturating_add(1),
            (None, Some(message)) => message.delivery_count.max(1),
            (None, None) => 1,
        }
    }

    /// Returns true if the batch is sent again when this attempt fails.
    ///
    /// A message always is: the host releases it, and Service Bus redelivers it or, after the maximum delivery count, moves it
    /// to the dead-letter sub-queue. A message without a delivery count is from the admin endpoint and is sent once.
    #[must_use]
    pub fn will_retry(&self) -> bool {
        self.policy_will_retry() || self.batch.message.as_ref().is_some_and(|message| message.delivery_count > 0)
    }

    /// Returns true if the host's retry policy repeats the invocation when this attempt fails. The host honours a policy for a
    /// Service Bus trigger too, although it is documented as unsupported: it keeps the message, and its lock, meanwhile.
    #[must_use]
    pub fn policy_will_retry(&self) -> bool {
        self.retry.is_some_and(RetryContext::will_retry)
    }

    /// Reads the body of a request, which must be valid UTF-8 even in parts that are not used.
    ///
    /// Metadata that valid events do not need stays unparsed in the request, and the batch keeps a reference to it.
    ///
    /// # Errors
    ///
    /// Returns an [`EnvelopeError`] if the request is not an envelope. An invalid event is not an error: see
    /// [`Event::fault`].
    pub fn read(request: &Bytes, trigger: &Trigger) -> Result<Self, EnvelopeError> {
        let Envelope { data, metadata } =
            Envelope::parse(request).ok_or_else(|| EnvelopeError::NotAnInvocation(envelope_error(request)))?;
        let trigger_data = data.iter().rfind(|(name, _)| **name == *trigger.name().as_bytes());
        let (_, trigger_data) = trigger_data
            .ok_or_else(|| EnvelopeError::MissingBinding { name: trigger.name().to_owned(), found: names(&data) })?;
        let mut events = read_events(*trigger_data, trigger)
            .map_err(|reason| EnvelopeError::InvalidEvents { name: trigger.name().to_owned(), reason })?;
        let metadata = Metadata { request, values: metadata };
        let batch = match trigger {
            Trigger::EventHub(trigger) => {
                let event_metadata = metadata.event_metadata(trigger.cardinality, events.len());
                let event_metadata = event_metadata.unwrap_or_else(|fault| {
                    for event in &mut events {
                        event.fault.get_or_insert_with(|| fault.clone());
                    }
                    EventMetadata::default()
                });
                attach_metadata(metadata.source(), events, event_metadata)
            }
            Trigger::ServiceBus(trigger) => {
                let (event_metadata, message) = metadata.message_metadata();
                let batch = attach_metadata(trigger.source.clone(), events, event_metadata);
                Batch { message: Some(message), ..batch }
            }
        };
        Ok(Self { batch, retry: metadata.nested("RetryContext") })
    }
}

struct Envelope<'a> {
    data: Members<'a>,
    metadata: Members<'a>,
}

impl<'a> Envelope<'a> {
    fn parse(request: &'a [u8]) -> Option<Self> {
        let (mut data, mut metadata) = (None, None);
        each_member(request, |name, text| {
            let (part, (members, rest)) = match &*name {
                b"Data" => (&mut data, parse_members(text)?),
                b"Metadata" => (&mut metadata, members_or_null(text)?),
                _ => return parse_value(text, Quotes::Plain).map(|(_, rest)| rest),
            };
            // A duplicate is invalid, because it is unknown which one is meant.
            part.replace(members).is_none().then_some(rest)
        })?;
        Some(Self { data: data?, metadata: metadata.unwrap_or_default() })
    }
}

fn members_or_null(text: &[u8]) -> Option<(Members<'_>, &[u8])> {
    text.strip_prefix(b"null").map_or_else(|| parse_members(text), |rest| Some((Vec::new(), rest)))
}

/// Returns the first names of these members, each of limited length.
fn names(members: &Members) -> String {
    /// More than the host sends.
    const MAX_NAMES: usize = 10;
    const MAX_NAME_CHARS: usize = 100;
    let name = |name: &[u8]| {
        // The name may be long, so only its beginning is converted. A character has at most four bytes.
        let beginning = &name[..name.len().min(4 * MAX_NAME_CHARS + 1)];
        first_chars(&String::from_utf8_lossy(beginning), MAX_NAME_CHARS)
    };
    let shown: Vec<_> = members.iter().take(MAX_NAMES).map(|(text, _)| name(text)).collect();
    let more =
        if members.len() > MAX_NAMES { format!(" and {} more", members.len() - MAX_NAMES) } else { String::new() };
    format!("{shown:?}{more}")
}

/// Describes why this request is not an envelope. `serde_json` also reports the position, and in an error about a type the whole
/// value: so types are checked first.
fn envelope_error(request: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "Data", borrow)]
        data: &'a RawValue,
        #[serde(rename = "Metadata", borrow, default)]
        metadata: Option<&'a RawValue>,
    }

    if let kind @ ("array" | "string") = json_type(request) {
        return format!("it is a JSON {kind}, not an object");
    }
    match str::from_utf8(request).map(serde_json::from_str::<Envelope>) {
        Err(error) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(Envelope { data, metadata })) => {
            let members = [("Data", Some(data)), ("Metadata", metadata)];
            let wrong = members.into_iter().find_map(|(name, value)| {
                let kind = json_type(value?.get().as_bytes());
                (kind != "object").then(|| format!("its {name} is a JSON {kind}, not an object"))
            });
            wrong.unwrap_or_else(|| "it is not valid".into())
        }
    }
}

/// Creates a batch, and sets each event's position, content type and device id from the metadata.
#[must_use]
pub fn attach_metadata(source: Source, mut events: Vec<Event>, metadata: EventMetadata) -> Batch {
    metadata::attach(&mut events, &metadata);
    let metadata = Arc::new(metadata);
    for (index, event) in events.iter_mut().enumerate() {
        event.cells = EventCells::new(Arc::clone(&metadata), index);
    }
    Batch { source, events, metadata, message: None }
}

fn read_events(data: Raw<'_>, trigger: &Trigger) -> Result<Vec<Event>, String> {
    if let (Cardinality::Many, DataType::Binary) = (trigger.cardinality(), trigger.data_type())
        && let Some(events) = base64_events(data)
    {
        return Ok(events);
    }
    let text = data.unquoted().ok_or("it is not a valid JSON string")?;
    match trigger.cardinality() {
        Cardinality::Many => {
            let elements =
                parse_elements(&text, |text| parse_value(text, Quotes::Plain)).ok_or_else(|| array_error(&text))?;
            Ok(elements.into_iter().map(|element| read_event(element, trigger.data_type())).collect())
        }
        Cardinality::One => {
            // The text is the body itself, or another JSON string that contains the body.
            let body = if text.starts_with(b"\"") { Raw::parse(&text).and_then(Raw::unquoted) } else { None };
            let body = body.as_deref().unwrap_or(&text);
            Ok(vec![match trigger.data_type() {
                DataType::Binary => base64_event(body),
                DataType::String | DataType::Json => event_with_body(body),
            }])
        }
    }
}

/// Reads an array of base64 strings, in exactly the form that the host writes; `None` for any other form.
///
/// Base64 contains neither quotes nor escapes, so the array can be read in one pass, even inside a JSON string.
fn base64_events(data: Raw<'_>) -> Option<Vec<Event>> {
    let (text, quote) = match data.in_quotes() {
        Some(text) => (text, br#"\""#.as_slice()),
        None => (data.text, br#"""#.as_slice()),
    };
    let mut rest = text.strip_prefix(b"[")?;
    let mut bodies = vec![0; base64::decoded_len_estimate(text.len()) + DECODER_MARGIN_BYTES];
    let (mut ends, mut end) = (Vec::new(), 0);
    loop {
        rest = rest.strip_prefix(quote)?;
        let (body, after) = rest.split_at(memchr::memchr(quote[0], rest)?);
        end += BASE64.decode_slice(body, &mut bodies[end..]).ok()?;
        ends.push(end);
        rest = after.strip_prefix(quote)?;
        match rest {
            [b',', more @ ..] => rest = more,
            b"]" => break,
            _ => return None,
        }
    }
    let bodies = Bytes::from(bodies);
    let mut begin = 0;
    let event = |end| Event { body: bodies.slice(std::mem::replace(&mut begin, end)..end), ..Event::default() };
    Some(ends.into_iter().map(event).collect())
}

/// Describes why this text is not a JSON array.
fn array_error(text: &[u8]) -> String {
    if let kind @ ("object" | "string") = json_type(text) {
        return format!("it is a JSON {kind}, not an array");
    }
    let array = serde_json::from_slice::<Vec<IgnoredAny>>(text);
    array.map_or_else(|error| error.to_string(), |_| "it is not valid".into())
}

/// Returns the type of a JSON value by its first character.
fn json_type(json: &[u8]) -> &'static str {
    match json.trim_ascii_start().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        _ => "scalar",
    }
}

/// Returns true if this JSON is an array. A derived struct would also accept an array of its members in order, which the
/// host never sends.
fn is_array(json: &[u8]) -> bool {
    json_type(json) == "array"
}

/// Reads one element of an array of events.
fn read_event(element: Raw<'_>, data_type: DataType) -> Event {
    if element.text == b"null" {
        return Event::default();
    }
    let string = element.in_quotes().and_then(|_| element.unquoted());
    match (data_type, string) {
        (DataType::Binary, Some(text)) => base64_event(&text),
        (DataType::Binary, None) => {
            faulty_event(element.text, "the event is not a base64 string, although dataType is binary".into())
        }
        (DataType::String, Some(text)) => event_with_body(&text),
        (DataType::String, None) | (DataType::Json, _) => event_with_body(element.text),
    }
}

fn event_with_body(body: &[u8]) -> Event {
    Event { body: Bytes::copy_from_slice(body), ..Event::default() }
}

fn base64_event(text: &[u8]) -> Event {
    match BASE64.decode(text) {
        Ok(body) => Event { body: body.into(), ..Event::default() },
        Err(error) => {
            faulty_event(text, format!("the event is not valid base64, although dataType is binary: {error}"))
        }
    }
}

/// Returns an invalid event with the text from the request as its body, so that a dead letter shows it.
fn faulty_event(sent: &[u8], fault: String) -> Event {
    Event { fault: Some(fault), ..event_with_body(sent) }
}

/// The decoder writes blocks beyond the end of a body. Without this margin it decodes the end byte by byte, which is slower.
const DECODER_MARGIN_BYTES: usize = 32;

static BASE64: LazyLock<Simd> = LazyLock::new(|| {
    Simd::standard(GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
});
