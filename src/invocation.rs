//! The host's envelope in: the request of one invocation becomes a batch.
//!
//! Everything in `Metadata` is optional, and every shape that the host is known to send is taken: arrays held in
//! strings, real arrays, the singular keys of the admin endpoint and of `cardinality: one`. What is there but cannot be
//! matched with the events is never guessed: an event under the version of another would break the order.

mod metadata;

use std::{borrow::Cow, collections::BTreeMap};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    batch::{Batch, Details, Event, Source},
    function_app::{Cardinality, DataType, Trigger},
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
    pub fn comes_again(self) -> bool {
        self.max_retry_count < 0 || self.retry_count < self.max_retry_count
    }
}

/// Why a request is no envelope that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no JSON object with `Data`.
    #[error("the request is no invocation as the Functions host sends it: {0}")]
    NoEnvelope(String),
    /// `Data` does not have the trigger's binding.
    #[error("the request's Data has no {name:?}, only {found}: is that the trigger's name in function.json?")]
    NoBinding {
        /// The trigger's name.
        name: String,
        /// The names that are there.
        found: String,
    },
    /// The binding does not hold events.
    #[error(
        "the request's Data.{name} does not hold the events as dataType and cardinality of function.json say: {reason}"
    )]
    NoEvents {
        /// The trigger's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    data: BTreeMap<Cow<'a, str>, &'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
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
    pub fn comes_again(&self) -> bool {
        match &self.batch.message {
            Some(message) => message.delivery_count > 0,
            None => self.retry.is_some_and(RetryContext::comes_again),
        }
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`], when it is none. A fault of single events is not one: see [`Event::fault`].
    pub fn read(body: &[u8], trigger: &Trigger) -> Result<Self, EnvelopeError> {
        if is_array(body) {
            return Err(EnvelopeError::NoEnvelope("it is a JSON array, and no object".into()));
        }
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|error| EnvelopeError::NoEnvelope(error.to_string()))?;
        let data = envelope.data.get(trigger.name()).ok_or_else(|| EnvelopeError::NoBinding {
            name: trigger.name().to_owned(),
            found: format!("{:?}", envelope.data.keys().collect::<Vec<_>>()),
        })?;
        let events = read_events(data, trigger)
            .map_err(|reason| EnvelopeError::NoEvents { name: trigger.name().to_owned(), reason })?;
        let metadata = Metadata::new(envelope.metadata.unwrap_or_default());
        Ok(match trigger {
            Trigger::EventHub(_) => {
                let details = metadata.details(events.len());
                let batch = attached(metadata.source(), events, details);
                Self { batch, retry: metadata.nested("RetryContext") }
            }
            // A retry policy is not for this trigger, so what were to be told of one does not count.
            Trigger::ServiceBus(trigger) => {
                let batch = attached(trigger.source.clone(), events, metadata.details_of_a_message());
                Self { batch: Batch { message: Some(metadata.message()), ..batch }, retry: None }
            }
        })
    }
}

/// A batch whose events are told their places, content types and devices by what the host says of each.
#[must_use]
pub fn attached(source: Source, mut events: Vec<Event>, details: Details) -> Batch {
    metadata::attach(&mut events, &details);
    Batch { source, events, details, message: None }
}

fn read_events(data: &RawValue, trigger: &Trigger) -> Result<Vec<Event>, String> {
    let text = unquoted(data.get())?;
    match trigger.cardinality() {
        Cardinality::Many => {
            let elements: Vec<&RawValue> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            Ok(elements.into_iter().map(|element| event(element.get(), trigger.data_type())).collect())
        }
        Cardinality::One => {
            // The text is the body itself, unless it is one more JSON string around it.
            let body = if text.starts_with('"') { unquoted(&text).unwrap_or(Cow::Borrowed(&*text)) } else { text };
            Ok(vec![match trigger.data_type() {
                DataType::Binary => base64_event(&body),
                DataType::String | DataType::Json => Event { body: body.as_bytes().to_vec(), ..Event::default() },
            }])
        }
    }
}

/// Whether this JSON is an array. A derived struct would also take that, its members in order: nobody sends it, so nobody
/// should have it guessed.
fn is_array(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"[")
}

/// The text in a JSON string, or any other JSON value as its own text.
fn unquoted(json: &str) -> Result<Cow<'_, str>, String> {
    if json.starts_with('"') {
        serde_json::from_str::<JsonString>(json).map(|JsonString(text)| text).map_err(|error| error.to_string())
    } else {
        Ok(Cow::Borrowed(json))
    }
}

/// Borrows where the string has no escapes, which `Cow` alone does not.
#[derive(Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

fn event(element: &str, data_type: DataType) -> Event {
    if element == "null" {
        return Event::default();
    }
    match (data_type, serde_json::from_str::<JsonString>(element)) {
        (DataType::Binary, Ok(JsonString(text))) => base64_event(&text),
        (DataType::Binary, Err(_)) => {
            faulty(element, "the host sent no base64 string for it, although dataType is binary".into())
        }
        (DataType::String, Ok(JsonString(text))) => Event { body: text.into_owned().into_bytes(), ..Event::default() },
        (DataType::String, Err(_)) | (DataType::Json, _) => {
            Event { body: element.as_bytes().to_vec(), ..Event::default() }
        }
    }
}

fn base64_event(text: &str) -> Event {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    match ENGINE.decode(text) {
        Ok(body) => Event { body, ..Event::default() },
        Err(error) => {
            faulty(text, format!("the host sent no valid base64 for it, although dataType is binary: {error}"))
        }
    }
}

/// Keeps what the host sent in place of a body, since that is all there is to look at.
fn faulty(sent: &str, fault: String) -> Event {
    Event { body: sent.as_bytes().to_vec(), fault: Some(fault), ..Event::default() }
}
