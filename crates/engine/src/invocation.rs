//! The host's envelope in: the request of one invocation becomes a batch.
//!
//! Everything in `Metadata` is optional, and every shape that the host is known to send is taken: arrays held in
//! strings, real arrays, the singular keys of the admin endpoint and of `cardinality: one`. What is there but cannot be
//! matched with the events is never guessed: an event under the version of another would break the order.

mod metadata;

use std::{collections::BTreeMap, sync::LazyLock};

use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurposeConfig, Simd};
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, Event, EventMetadata, Source},
    function_app::{Cardinality, DataType, Trigger},
    json::{Members, Quotes, Raw, each_member, elements, members, value},
};
use metadata::Metadata;

/// The request of one invocation.
#[derive(Debug)]
pub struct Invocation {
    /// The events.
    pub batch: Batch,
    /// Which attempt of how many this is; `None` without a retry policy, when every attempt is the last, and for a message.
    pub retry: Option<RetryContext>,
}

/// `RetryContext` of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RetryContext {
    /// How often this batch was sent before.
    pub retry_count: i64,
    /// How often it is sent again at most; -1 is without end.
    pub max_retry_count: i64,
}

impl RetryContext {
    /// Whether the host sends the batch again when this attempt fails.
    #[must_use]
    pub fn will_retry(self) -> bool {
        self.max_retry_count < 0 || self.retry_count < self.max_retry_count
    }
}

/// Why a request is no envelope that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no JSON object with `Data`.
    #[error("the request is no invocation as the Functions host sends it: {0}")]
    NotAnInvocation(String),
    /// `Data` does not have the trigger's binding.
    #[error("the request's Data has no {name:?}, only {found}: is that the trigger's name in function.json?")]
    MissingBinding {
        /// The trigger's name.
        name: String,
        /// The names that are there.
        found: String,
    },
    /// The binding does not hold events.
    #[error(
        "the request's Data.{name} does not hold the events as dataType and cardinality of function.json say: {reason}"
    )]
    InvalidEvents {
        /// The trigger's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Invocation {
    /// Which attempt of the batch this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> i64 {
        match &self.batch.message {
            Some(message) => message.delivery_count.max(1),
            None => self.retry.map_or(1, |retry| retry.retry_count.saturating_add(1)),
        }
    }

    /// Whether the batch comes again when this attempt fails.
    ///
    /// A message does always: the host gives it back, and Service Bus delivers it again, or keeps it in the dead-letter
    /// sub-queue once its deliveries are used up. What was never delivered is of the admin endpoint and comes once.
    #[must_use]
    pub fn will_retry(&self) -> bool {
        match &self.batch.message {
            Some(message) => message.delivery_count > 0,
            None => self.retry.is_some_and(RetryContext::will_retry),
        }
    }

    /// Reads the body of a request, which must be UTF-8 throughout, also where nobody looks.
    ///
    /// What a good event does not need stays in it, unread: the batch keeps hold of it.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`], when it is none. A fault of single events is not one: see [`Event::fault`].
    pub fn read(request: &Bytes, trigger: &Trigger) -> Result<Self, EnvelopeError> {
        let Envelope { data, metadata } =
            Envelope::of(request).ok_or_else(|| EnvelopeError::NotAnInvocation(what_is_wrong(request)))?;
        let of_trigger = data.iter().rfind(|(name, _)| **name == *trigger.name().as_bytes());
        let (_, of_trigger) = of_trigger.ok_or_else(|| EnvelopeError::MissingBinding {
            name: trigger.name().to_owned(),
            found: format!("{:?}", data.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect::<Vec<_>>()),
        })?;
        let events = read_events(*of_trigger, trigger)
            .map_err(|reason| EnvelopeError::InvalidEvents { name: trigger.name().to_owned(), reason })?;
        let metadata = Metadata { request, values: metadata };
        Ok(match trigger {
            Trigger::EventHub(_) => {
                let event_metadata = metadata.event_metadata(events.len());
                let batch = attach_metadata(metadata.source(), events, event_metadata);
                Self { batch, retry: metadata.nested("RetryContext") }
            }
            // A retry policy is not for this trigger, so what were to be told of one does not count.
            Trigger::ServiceBus(trigger) => {
                let batch = attach_metadata(trigger.source.clone(), events, metadata.message_metadata());
                Self { batch: Batch { message: Some(metadata.message()), ..batch }, retry: None }
            }
        })
    }
}

struct Envelope<'a> {
    data: Members<'a>,
    metadata: Members<'a>,
}

impl<'a> Envelope<'a> {
    fn of(request: &'a [u8]) -> Option<Self> {
        let (mut data, mut metadata) = (None, None);
        each_member(request, |name, text| {
            let (part, (members, rest)) = match &*name {
                b"Data" => (&mut data, members(text)?),
                b"Metadata" => (&mut metadata, members_or_null(text)?),
                _ => return value(text, Quotes::Plain).map(|(_, rest)| rest),
            };
            // Nobody knows which of two is meant.
            part.replace(members).is_none().then_some(rest)
        })?;
        Some(Self { data: data?, metadata: metadata.unwrap_or_default() })
    }
}

fn members_or_null(text: &[u8]) -> Option<(Members<'_>, &[u8])> {
    text.strip_prefix(b"null").map_or_else(|| members(text), |rest| Some((Vec::new(), rest)))
}

/// Why this request is no envelope, in the words of the library that knows how to tell the place.
fn what_is_wrong(request: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "Data", borrow)]
        _data: BTreeMap<String, &'a RawValue>,
        #[serde(rename = "Metadata", borrow, default)]
        _metadata: Option<BTreeMap<String, &'a RawValue>>,
    }

    if is_array(request) {
        return "it is a JSON array, and no object".into();
    }
    match str::from_utf8(request).map(serde_json::from_str::<Envelope>) {
        Err(error) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) => "it cannot be read".into(),
    }
}

/// A batch whose events are told their places, content types and devices by what the host says of each.
#[must_use]
pub fn attach_metadata(source: Source, mut events: Vec<Event>, metadata: EventMetadata) -> Batch {
    metadata::attach(&mut events, &metadata);
    Batch { source, events, metadata, message: None }
}

fn read_events(data: Raw<'_>, trigger: &Trigger) -> Result<Vec<Event>, String> {
    if let (Cardinality::Many, DataType::Binary) = (trigger.cardinality(), trigger.data_type())
        && let Some(events) = base64_events(data)
    {
        return Ok(events);
    }
    let text = data.unquoted().ok_or("it is a string that says no text")?;
    match trigger.cardinality() {
        Cardinality::Many => {
            let elements = elements(&text, |text| value(text, Quotes::Plain)).ok_or_else(|| no_array(&text))?;
            Ok(elements.into_iter().map(|element| event(element, trigger.data_type())).collect())
        }
        Cardinality::One => {
            // The text is the body itself, unless it is one more JSON string around it.
            let body = if text.starts_with(b"\"") { Raw::of(&text).and_then(Raw::unquoted) } else { None };
            let body = body.as_deref().unwrap_or(&text);
            Ok(vec![match trigger.data_type() {
                DataType::Binary => base64_event(body),
                DataType::String | DataType::Json => event_of(body),
            }])
        }
    }
}

/// The events of an array of strings each of which is base64, as the host writes it; `None` when it is not just that.
///
/// What is base64 has no quote and no escape in it, so that neither the array needs another look, nor a string around it.
fn base64_events(data: Raw<'_>) -> Option<Vec<Event>> {
    let (text, quote) = match data.in_quotes() {
        Some(text) => (text, br#"\""#.as_slice()),
        None => (data.text, br#"""#.as_slice()),
    };
    let mut rest = text.strip_prefix(b"[")?;
    let mut bodies = vec![0; base64::decoded_len_estimate(text.len()) + ROOM];
    let (mut ends, mut end) = (Vec::new(), 0);
    loop {
        rest = rest.strip_prefix(quote)?;
        let (body, behind) = rest.split_at(memchr::memchr(quote[0], rest)?);
        end += BASE64.decode_slice(body, &mut bodies[end..]).ok()?;
        ends.push(end);
        rest = behind.strip_prefix(quote)?;
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

/// Why this text is no array, in the library's words.
fn no_array(text: &[u8]) -> String {
    let array = serde_json::from_slice::<Vec<IgnoredAny>>(text);
    array.map_or_else(|error| error.to_string(), |_| "it cannot be read".into())
}

/// Whether this JSON is an array. A derived struct would also take that, its members in order: nobody sends it, so nobody
/// should have it guessed.
fn is_array(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"[")
}

fn event(element: Raw<'_>, data_type: DataType) -> Event {
    if element.text == b"null" {
        return Event::default();
    }
    let string = element.in_quotes().and_then(|_| element.unquoted());
    match (data_type, string) {
        (DataType::Binary, Some(text)) => base64_event(&text),
        (DataType::Binary, None) => {
            faulty(element.text, "the host sent no base64 string for it, although dataType is binary".into())
        }
        (DataType::String, Some(text)) => event_of(&text),
        (DataType::String, None) | (DataType::Json, _) => event_of(element.text),
    }
}

fn event_of(body: &[u8]) -> Event {
    Event { body: Bytes::copy_from_slice(body), ..Event::default() }
}

fn base64_event(text: &[u8]) -> Event {
    match BASE64.decode(text) {
        Ok(body) => Event { body: body.into(), ..Event::default() },
        Err(error) => {
            faulty(text, format!("the host sent no valid base64 for it, although dataType is binary: {error}"))
        }
    }
}

/// Keeps what the host sent in place of a body, since that is all there is to look at.
fn faulty(sent: &[u8], fault: String) -> Event {
    Event { fault: Some(fault), ..event_of(sent) }
}

/// The decoder writes some bytes more than there are, in one go; without room for them it ends a body byte by byte.
const ROOM: usize = 32;

static BASE64: LazyLock<Simd> = LazyLock::new(|| {
    Simd::standard(GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
});
