//! Where values are: in a record, around it, or in the metadata of its event.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
    fmt,
    rc::Rc,
};

use devicestate_engine::batch::Event;
use serde_json::{Map, Value};

use super::{Pointer, shown::shortened};
use crate::unwrapping::cloud_event_attributes;

/// The most bytes that are copied to the records of an event from outside of them: each record has a copy of such a value.
const MAX_COPIED_BYTES: usize = 16 * 1024 * 1024;

/// Where one value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the record.
    Record(Pointer),
    /// In the value that contains the records: `body:`.
    Body(Pointer),
    /// An application property: `property:`.
    Property(String),
    /// An attribute of the CloudEvent: `cloudevent:`.
    CloudEvent(String),
    /// The device that IoT Hub authenticated.
    IotHub,
    PartitionKey,
    /// The media type, in lower case and without parameters.
    ContentType,
}

/// Where a value may be: the first source that has one, and not null, is used. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources(pub(crate) Vec<Source>);

/// An event, apart from its body.
#[derive(Debug)]
pub struct Context<'e> {
    /// The event.
    pub event: &'e Event,
    /// The attributes of the CloudEvent that contained the telemetry; empty if none did.
    cloud_event: Rc<Map<String, Value>>,
    properties: OnceCell<Rc<Properties>>,
    /// Of [`MAX_COPIED_BYTES`].
    copied_bytes: Rc<Cell<usize>>,
}

/// The application properties of an event.
#[derive(Debug)]
struct Properties {
    all: Map<String, Value>,
    /// The attributes of a CloudEvent in binary mode.
    cloud_event: OnceCell<Map<String, Value>>,
}

impl<'e> Context<'e> {
    /// Creates the context of an event.
    #[must_use]
    pub fn new(event: &'e Event, cloud_event: Map<String, Value>) -> Self {
        Self { event, cloud_event: Rc::new(cloud_event), properties: OnceCell::new(), copied_bytes: Rc::default() }
    }

    /// Returns the scope for sources that are not in the body.
    pub(super) fn without_body(&self) -> Scope<'_, 'e> {
        static NOTHING: Value = Value::Null;
        Scope { record: &NOTHING, body: &NOTHING, context: self }
    }

    /// Returns the context of one of several parts of the event. A part that is not a CloudEvent is in the one that contained all.
    /// The properties are parsed once for all.
    #[must_use]
    pub fn of_part(&self, cloud_event: Map<String, Value>) -> Self {
        self.properties();
        let cloud_event = if cloud_event.is_empty() { Rc::clone(&self.cloud_event) } else { Rc::new(cloud_event) };
        let copied_bytes = Rc::clone(&self.copied_bytes);
        Self { event: self.event, cloud_event, properties: self.properties.clone(), copied_bytes }
    }

    /// Counts a value that a record has from outside of it; the error is the issue.
    pub(super) fn count_copy(&self, value: &Value) -> Result<(), String> {
        let copied = self.copied_bytes.get() + bytes_of(value);
        self.copied_bytes.set(copied);
        if copied <= MAX_COPIED_BYTES {
            return Ok(());
        }
        Err(format!(
            "the records have more than {MAX_COPIED_BYTES} bytes of values from outside of them: send fewer in an event"
        ))
    }

    fn properties(&self) -> &Properties {
        self.properties
            .get_or_init(|| Rc::new(Properties { all: self.event.cells.properties(), cloud_event: OnceCell::new() }))
    }

    fn cloud_event(&self) -> &Map<String, Value> {
        if !self.cloud_event.is_empty() {
            return &self.cloud_event;
        }
        let properties = self.properties();
        properties.cloud_event.get_or_init(|| cloud_event_attributes(&properties.all))
    }
}

/// Returns about how much memory a value needs.
fn bytes_of(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(elements) => elements.iter().map(bytes_of).sum(),
            Value::Object(members) => members.iter().map(|(name, value)| name.len() + bytes_of(value)).sum(),
            _ => 0,
        }
}

/// A record and what is around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'v, 'e> {
    pub(crate) record: &'v Value,
    /// The value that contains the record; the record itself if it was not taken out of another value.
    pub(crate) body: &'v Value,
    pub(crate) context: &'v Context<'e>,
}

/// What the sources have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found<'v> {
    Missing,
    /// Nothing but null.
    Null,
    Value(Cow<'v, Value>, &'v Source),
}

impl Source {
    /// Returns the value at this source.
    pub(crate) fn find<'v>(&self, scope: Scope<'v, '_>) -> Option<Cow<'v, Value>> {
        let text = |text: &str| Cow::Owned(Value::from(text));
        match self {
            Self::Record(pointer) => pointer.find(scope.record).map(Cow::Borrowed),
            Self::Body(pointer) => pointer.find(scope.body).map(Cow::Borrowed),
            Self::Property(name) => scope.context.properties().all.get(name).map(Cow::Borrowed),
            Self::CloudEvent(name) => scope.context.cloud_event().get(name).map(Cow::Borrowed),
            Self::IotHub => scope.context.event.iot_hub_device_id.as_deref().map(text),
            Self::PartitionKey => scope.context.event.cells.partition_key().as_deref().map(text),
            Self::ContentType => {
                let media_type = scope.context.event.content_type.as_deref()?.split(';').next()?.trim();
                Some(text(&media_type.to_ascii_lowercase()))
            }
        }
    }

    /// Returns the value at a source that is not in the body.
    pub(crate) fn find_metadata(&self, context: &Context<'_>) -> Option<Value> {
        if self.is_metadata() { self.find(context.without_body()).map(Cow::into_owned) } else { None }
    }

    /// Returns true if the source may only have texts, so that a number is a text.
    pub(crate) fn is_metadata(&self) -> bool {
        !matches!(self, Self::Record(_) | Self::Body(_))
    }
}

impl Sources {
    /// Returns the first value that is not null.
    pub(crate) fn find<'v>(&'v self, scope: Scope<'v, '_>) -> Found<'v> {
        self.find_accepted(scope, |_| true)
    }

    /// Returns the first value that is not null and accepted.
    pub(crate) fn find_accepted<'v>(&'v self, scope: Scope<'v, '_>, accept: impl Fn(&Value) -> bool) -> Found<'v> {
        let mut found = Found::Missing;
        for source in &self.0 {
            match source.find(scope) {
                Some(value) if value.is_null() => found = Found::Null,
                Some(value) if accept(&value) => return Found::Value(value, source),
                _ => {}
            }
        }
        found
    }

    /// Returns the values at which values within the body are looked for: those that contain them.
    pub(crate) fn passed_in_body(&self, scope: Scope<'_, '_>) -> impl Iterator<Item = *const Value> {
        self.0.iter().flat_map(move |source| match source {
            Source::Record(pointer) => pointer.passed(scope.record),
            Source::Body(pointer) => pointer.passed(scope.body),
            _ => Vec::new(),
        })
    }

    /// Returns the values within the body, used or not.
    pub(crate) fn in_body(&self, scope: Scope<'_, '_>) -> impl Iterator<Item = *const Value> {
        self.0.iter().filter_map(move |source| match source {
            Source::Record(pointer) => pointer.find(scope.record).map(std::ptr::from_ref),
            Source::Body(pointer) => pointer.find(scope.body).map(std::ptr::from_ref),
            _ => None,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(pointer) => pointer.fmt(f),
            Self::Body(pointer) => write!(f, "body:{pointer}"),
            Self::Property(name) => write!(f, "property:{}", shortened(name)),
            Self::CloudEvent(name) => write!(f, "cloudevent:{}", shortened(name)),
            Self::IotHub => f.write_str("iothub"),
            Self::PartitionKey => f.write_str("partitionKey"),
            Self::ContentType => f.write_str("contentType"),
        }
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (index, source) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{source}", if index > 0 { " or " } else { "" })?;
        }
        f.write_str(if self.0.len() > SHOWN { " or …" } else { "" })
    }
}
