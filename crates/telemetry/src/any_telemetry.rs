//! The telemetry of any device.

use std::{borrow::Cow, sync::Arc};

use devicestate_engine::{
    batch::Event,
    telemetry::{Poison, Records, Telemetry},
};
use serde_json::Value;

use crate::{
    fast::FastReader,
    formats::Formats,
    mapping::{self, Context, Mapping},
    unwrapping::{Content, Unwrapped, unwrap},
};

/// Decodes events that are JSON, or become JSON when they are unwrapped.
#[derive(Debug, Clone)]
pub struct AnyTelemetry {
    mapping: Mapping,
    fast_reader: Arc<FastReader>,
    formats: Formats,
}

impl AnyTelemetry {
    /// Creates the telemetry that a telemetry file describes.
    #[must_use]
    pub fn new(mapping: Mapping, formats: Formats) -> Self {
        let fast_reader = Arc::new(FastReader::new(&mapping));
        Self { mapping, fast_reader, formats }
    }

    /// Adds the records of JSON text if the fast reader can; otherwise it returns false and adds nothing.
    fn read_fast<'e>(
        &self,
        json: &Content<'e>,
        context: &Context<'e>,
        records: &mut Records<'_, 'e>,
        taken: &mut usize,
    ) -> bool {
        match json {
            Content::Json(Cow::Borrowed(text)) => self.fast_reader.read(context, text, Cow::Borrowed, records, taken),
            Content::Json(Cow::Owned(text)) => {
                let own = |part: &str| Cow::Owned(part.to_owned());
                self.fast_reader.read(context, text, own, records, taken)
            }
            Content::Value(_) | Content::Parts(_) => false,
        }
    }
}

impl AnyTelemetry {
    /// Maps the records of a content. Of JSON lines, one that is not valid fails alone.
    fn map<'e>(
        &self,
        unwrapped: Content<'_>,
        context: &Context<'e>,
        records: &mut Records<'_, 'e>,
        taken: &mut usize,
    ) -> Result<(), Poison> {
        let Content::Json(text) = unwrapped else {
            return self.mapping.map_values(&values(unwrapped)?, context, records, taken);
        };
        let poison = match mapping::parse(&text) {
            Ok(values) => return self.mapping.map_values(&values, context, records, taken),
            Err(poison) => poison,
        };
        for line in mapping::parse_lines(&text).ok_or(poison)? {
            match line {
                Ok(value) => self.mapping.map_values(&[value], context, records, taken)?,
                Err(poison) => records.fail(None, poison),
            }
        }
        Ok(())
    }
}

impl Telemetry for AnyTelemetry {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let Unwrapped { content, cloud_event } = unwrap(event, &self.formats)?;
        let mut taken = 0;
        let Content::Parts(parts) = content else {
            let context = Context::new(event, cloud_event);
            if self.read_fast(&content, &context, records, &mut taken) {
                return Ok(());
            }
            return self.map(content, &context, records, &mut taken);
        };
        if parts.is_empty() {
            return Err(Poison::Undecodable("there is no record: the body contains no event".into()));
        }
        let whole = Context::new(event, cloud_event);
        for part in parts {
            let Unwrapped { content, cloud_event } = match part {
                Ok(part) => part,
                Err(poison) => {
                    records.fail(None, poison);
                    continue;
                }
            };
            let context = whole.of_part(cloud_event);
            if self.read_fast(&content, &context, records, &mut taken) {
                continue;
            }
            if let Err(poison) = self.map(content, &context, records, &mut taken) {
                records.fail(None, poison);
            }
        }
        Ok(())
    }

    fn to_json(&self, event: &Event) -> Option<Value> {
        let decoded = self.decode_records(event);
        let is_same = |value: &Value| {
            let shown = Event {
                body: value.to_string().into(),
                content_type: Some("application/json".into()),
                ..event.clone()
            };
            self.decode_records(&shown) == decoded
        };
        // The body itself may be JSON around the telemetry, such as a CloudEvent.
        let own = mapping::parse(&event.body).ok().map(into_one).filter(|value| !value.is_string());
        own.filter(is_same).or_else(|| self.unwrapped_json(event).filter(is_same))
    }

    /// Returns `None`: each record that fails has its own device id.
    fn rejected_device_id(&self, _: &Event) -> Option<String> {
        None
    }
}

impl AnyTelemetry {
    /// Returns the telemetry in an event as JSON.
    fn unwrapped_json(&self, event: &Event) -> Option<Value> {
        let content = match unwrap(event, &self.formats).ok()?.content {
            Content::Parts(parts) => {
                let parts = parts.into_iter().map(|part| values(part.ok()?.content).ok());
                parts.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()
            }
            content => values(content).ok()?,
        };
        Some(into_one(content))
    }
}

fn values(content: Content<'_>) -> Result<Vec<Value>, Poison> {
    match content {
        Content::Json(text) => mapping::parse(&text),
        Content::Value(value) => Ok(vec![value]),
        // Only the data of a CloudEvent can be a file.
        Content::Parts(_) => Err(Poison::Undecodable(
            "a CloudEvent of the batch contains an Avro file, which is read only from one that is sent alone".into(),
        )),
    }
}

/// Returns a value, or the array of the records if there are several.
fn into_one(mut values: Vec<Value>) -> Value {
    if values.len() == 1 {
        return values.remove(0);
    }
    let records = values.into_iter().flat_map(|value| match value {
        Value::Array(elements) => elements,
        value => vec![value],
    });
    records.collect()
}
