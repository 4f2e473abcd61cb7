//! The telemetry of any device.

use devicestate_engine::{
    batch::Event,
    telemetry::{Poison, Records, Telemetry},
};
use serde_json::Value;

use crate::{
    mapping::{self, Context, Mapping},
    unwrapping::{Content, Unwrapped, unwrap},
};

/// Decodes events that are JSON, or become JSON when they are unwrapped.
#[derive(Debug, Clone)]
pub struct AnyTelemetry {
    mapping: Mapping,
}

impl AnyTelemetry {
    /// Creates the telemetry that a telemetry file describes.
    #[must_use]
    pub fn new(mapping: Mapping) -> Self {
        Self { mapping }
    }
}

impl Telemetry for AnyTelemetry {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let Unwrapped { content, cloud_event } = unwrap(event)?;
        self.mapping.map_values(&values(content)?, &Context::new(event, cloud_event), records)
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
        let own = mapping::parse(&event.body).ok().map(into_one);
        own.filter(is_same).or_else(|| {
            let unwrapped = unwrap(event).ok()?;
            values(unwrapped.content).ok().map(into_one).filter(is_same)
        })
    }

    /// Returns `None`: each record that fails has its own device id.
    fn rejected_device_id(&self, _: &Event) -> Option<String> {
        None
    }
}

fn values(content: Content<'_>) -> Result<Vec<Value>, Poison> {
    match content {
        Content::Json(text) => mapping::parse(&text),
        Content::Value(value) => Ok(vec![value]),
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
