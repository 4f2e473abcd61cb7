//! CloudEvents 1.0: events in structured mode, which are JSON with attributes and data, and attributes in binary mode.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_engine::telemetry::Poison;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use crate::mapping::{MAX_RECORDS, shortened};

/// The attributes that each CloudEvent has.
const REQUIRED: [&str; 4] = ["specversion", "type", "source", "id"];

/// One or several CloudEvents.
pub(super) enum CloudEvents<'t> {
    One(CloudEvent<'t>),
    /// One that is not valid does not invalidate the others.
    Batch(Vec<Result<CloudEvent<'t>, Poison>>),
}

/// A CloudEvent in structured mode.
pub(super) struct CloudEvent<'t> {
    pub(super) attributes: Map<String, Value>,
    /// The JSON text of the member `data`, unless it is null.
    pub(super) data: Option<Cow<'t, [u8]>>,
    pub(super) data_base64: Option<String>,
}

impl<'t> CloudEvents<'t> {
    /// Parses one CloudEvent, an array of them, or several one after the other. `None` if the text is something else, unless
    /// the content type names CloudEvents (`is_named`).
    pub(super) fn parse(text: &'t [u8], is_named: bool) -> Result<Option<Self>, Poison> {
        let not_json = |error| Poison::Undecodable(format!("the body is not valid JSON: {error}"));
        let is_array = text.trim_ascii_start().first() == Some(&b'[');
        let values: Result<Vec<&RawValue>, _> = if is_array {
            serde_json::from_slice(text)
        } else {
            serde_json::Deserializer::from_slice(text).into_iter().collect()
        };
        let values = match values {
            Ok(values) => values,
            Err(error) if is_named => return Err(not_json(error)),
            // Parsing the text reports the error.
            Err(_) => return Ok(None),
        };
        if values.len() > MAX_RECORDS && (is_named || !matches!(CloudEvent::parse(values[0]), Ok(None))) {
            let count = values.len();
            return Err(Poison::Invalid(format!(
                "the body has {count} CloudEvents: at most {MAX_RECORDS} are possible"
            )));
        }
        let mut events = Vec::new();
        for value in &values {
            match CloudEvent::parse(value) {
                Ok(None) if !is_named => return Ok(None),
                event => events.push(event.and_then(|event| event.ok_or_else(not_cloud_event))),
            }
        }
        if is_array || events.len() != 1 {
            return Ok(Some(Self::Batch(events)));
        }
        events.swap_remove(0).map(|event| Some(Self::One(event)))
    }

    pub(super) fn into_owned<'o>(self) -> CloudEvents<'o> {
        match self {
            Self::One(event) => CloudEvents::One(event.into_owned()),
            Self::Batch(events) => {
                CloudEvents::Batch(events.into_iter().map(|event| event.map(CloudEvent::into_owned)).collect())
            }
        }
    }
}

fn not_cloud_event() -> Poison {
    Poison::Undecodable(format!(
        "the content type says CloudEvents, but the body is not a CloudEvent: it needs the members {}",
        REQUIRED.join(", ")
    ))
}

impl<'t> CloudEvent<'t> {
    /// Parses a CloudEvent; `None` if a JSON value is not one.
    fn parse(value: &'t RawValue) -> Result<Option<Self>, Poison> {
        let Ok(Members(members)) = serde_json::from_str(value.get()) else { return Ok(None) };
        let is_present = |name: &&str| members.iter().any(|(member, _)| member == name);
        if !REQUIRED.iter().all(is_present) {
            return Ok(None);
        }
        let mut event = Self { attributes: Map::new(), data: None, data_base64: None };
        for (name, value) in members {
            let invalid =
                |what: &str| Poison::Undecodable(format!("the member {} of the CloudEvent {what}", shortened(&name)));
            let is_duplicate = match &*name {
                _ if value.get() == "null" => false,
                "data" => event.data.replace(Cow::Borrowed(value.get().as_bytes())).is_some(),
                "data_base64" => {
                    let text = serde_json::from_str(value.get()).map_err(|_| invalid("is not a string"))?;
                    event.data_base64.replace(text).is_some()
                }
                _ => {
                    let value = serde_json::from_str(value.get()).map_err(|error| invalid(&format!(": {error}")))?;
                    event.attributes.insert(name.clone().into_owned(), value).is_some()
                }
            };
            if is_duplicate {
                return Err(invalid("is there twice"));
            }
        }
        if event.data.is_some() && event.data_base64.is_some() {
            return Err(Poison::Undecodable("the CloudEvent has both data and data_base64".into()));
        }
        Ok(Some(event))
    }

    fn into_owned<'o>(self) -> CloudEvent<'o> {
        CloudEvent { data: self.data.map(|data| Cow::Owned(data.into_owned())), ..self }
    }
}

/// The members of an object, unparsed, in their order.
struct Members<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

/// Returns the attributes of a CloudEvent in binary mode, which are application properties of the event, by name. AMQP's
/// properties begin with `cloudEvents:` or `cloudEvents_`, and Kafka's with `ce_`; some senders use HTTP's `ce-`.
///
/// The properties of events that come through Kafka's protocol are in base64. The attribute `specversion` shows it.
#[must_use]
pub fn cloud_event_attributes(properties: &Map<String, Value>) -> Map<String, Value> {
    const PREFIXES: [&str; 4] = ["cloudEvents:", "cloudEvents_", "ce_", "ce-"];
    let attribute = |property: &str| {
        let rest = |prefix: &&str| {
            let (start, rest) = property.split_at_checked(prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then(|| rest.to_ascii_lowercase())
        };
        PREFIXES.iter().find_map(rest).filter(|name| !name.is_empty())
    };
    let attributes = properties.iter().filter_map(|(name, value)| Some((attribute(name)?, value.clone())));
    let mut attributes: Map<_, _> = attributes.collect();
    let decoded = |value: &Value| String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok();
    if attributes
        .get("specversion")
        .and_then(decoded)
        .is_some_and(|version| version.starts_with("1.") || version == "0.3")
    {
        for value in attributes.values_mut() {
            if let Some(text) = decoded(value) {
                *value = Value::String(text);
            }
        }
    }
    attributes
}
