//! The sample, and its fields with their values.

use std::collections::BTreeMap;

use devicestate_engine::{batch::Event, telemetry::Poison};
use serde_json::Value;

use super::records::Layout;
use crate::{
    formats::Formats,
    mapping::{parse, shortened},
    unwrapping::{Content, unwrap},
};

/// A sample has at most so many events.
const MAX_EVENTS: usize = 1_000;

/// A sample has at most so many bytes of bodies, rounded up to an event.
const MAX_BYTES: usize = 16 << 20;

/// The most values of a field that are kept.
const MAX_VALUES: usize = 1_000;

/// The most fields.
const MAX_FIELDS: usize = 2_000;

/// A sample of events.
#[derive(Debug, Default)]
pub struct Sample {
    pub(super) events: Vec<SampleEvent>,
    bytes: usize,
    failed: usize,
    failure: Option<String>,
}

/// An event of the sample.
#[derive(Debug)]
pub(super) struct SampleEvent {
    /// The objects of its body.
    pub(super) bodies: Vec<Value>,
    pub(super) enqueued_ms: Option<i64>,
    pub(super) has_iot_hub_device: bool,
    pub(super) has_partition_key: bool,
}

impl Sample {
    /// Adds an event. Returns false when the sample is large enough.
    pub fn add(&mut self, event: &Event) -> bool {
        match bodies(event) {
            Ok(bodies) => self.events.push(SampleEvent {
                bodies,
                enqueued_ms: event.position.map(|position| position.enqueued_ms),
                has_iot_hub_device: event.iot_hub_device_id.is_some(),
                has_partition_key: event.cells.partition_key().is_some(),
            }),
            Err(poison) => {
                self.failed += 1;
                self.failure.get_or_insert_with(|| poison.to_string());
            }
        }
        self.bytes += event.body.len();
        self.events.len() + self.failed < MAX_EVENTS && self.bytes < MAX_BYTES
    }

    /// Returns the number of events that could be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns true if no event could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the number of events that could not be read, and why the first could not.
    #[must_use]
    pub fn failures(&self) -> Option<(usize, &str)> {
        Some((self.failed, self.failure.as_deref()?))
    }

    pub(super) fn first_failure(&self) -> String {
        self.failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default()
    }
}

/// Returns the objects of an event's body: each is a record, or contains some.
fn bodies(event: &Event) -> Result<Vec<Value>, Poison> {
    let values = |content: Content<'_>| match content {
        Content::Json(text) => parse(&text),
        Content::Value(value) => Ok(vec![value]),
        Content::Parts(_) => Ok(Vec::new()),
    };
    let content = unwrap(event, &Formats::default())?.content;
    let values = match content {
        Content::Parts(parts) => {
            let parts = parts.into_iter().map(|part| values(part?.content));
            parts.collect::<Result<Vec<_>, _>>()?.concat()
        }
        content => values(content)?,
    };
    let objects = values.into_iter().flat_map(|value| match value {
        Value::Array(elements) => elements,
        value => vec![value],
    });
    Ok(objects.filter(Value::is_object).collect())
}

/// The fields of the records of a sample.
pub(super) struct Table {
    pub(super) records: usize,
    /// By source, as a telemetry file names it.
    pub(super) fields: BTreeMap<String, Field>,
}

/// A field of records.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// The names of the members that lead to it.
    pub(super) path: Vec<String>,
    /// Whether it is outside the array of records.
    pub(super) is_outer: bool,
    /// In how many records it is, and not null.
    pub(super) count: usize,
    pub(super) nulls: usize,
    /// The first values, with the index of the event.
    pub(super) values: Vec<(usize, Value)>,
}

impl Table {
    pub(super) fn new(sample: &Sample, layout: &Layout) -> Self {
        let mut table = Self { records: 0, fields: BTreeMap::new() };
        for (index, event) in sample.events.iter().enumerate() {
            for body in &event.bodies {
                match layout {
                    Layout::Records { pointer } => {
                        let elements = body.pointer(pointer).and_then(Value::as_array);
                        for element in elements.into_iter().flatten().filter(|element| element.is_object()) {
                            table.records += 1;
                            let mut visit = |pointer: &str, path: &[String], value: &Value| {
                                table.add(pointer.to_owned(), path, false, index, value);
                            };
                            visit_fields(element, &mut String::new(), &mut Vec::new(), &mut visit);
                            let mut visit = |outer: &str, path: &[String], value: &Value| {
                                if outer != pointer {
                                    table.add(format!("body:{outer}"), path, true, index, value);
                                }
                            };
                            visit_fields(body, &mut String::new(), &mut Vec::new(), &mut visit);
                        }
                    }
                    Layout::Body | Layout::NamedValues { .. } => {
                        table.records += 1;
                        let mut visit = |pointer: &str, path: &[String], value: &Value| {
                            if !layout.is_at(pointer) {
                                table.add(pointer.to_owned(), path, false, index, value);
                            }
                        };
                        visit_fields(body, &mut String::new(), &mut Vec::new(), &mut visit);
                    }
                }
            }
        }
        table
    }

    fn add(&mut self, source: String, path: &[String], is_outer: bool, event: usize, value: &Value) {
        if self.fields.len() >= MAX_FIELDS && !self.fields.contains_key(&source) {
            return;
        }
        let new = || Field { path: path.to_vec(), is_outer, ..Field::default() };
        let field = self.fields.entry(source).or_insert_with(new);
        if value.is_null() {
            field.nulls += 1;
            return;
        }
        field.count += 1;
        if field.values.len() < MAX_VALUES {
            field.values.push((event, value.clone()));
        }
    }

    /// Returns the first sources, for an error.
    pub(super) fn sources(&self) -> String {
        let sources: Vec<_> = self.fields.keys().take(20).map(|source| format!("`{}`", shortened(source))).collect();
        sources.join(", ")
    }
}

/// Visits the values that are not objects. An array is one value.
fn visit_fields(
    value: &Value,
    pointer: &mut String,
    path: &mut Vec<String>,
    visit: &mut impl FnMut(&str, &[String], &Value),
) {
    let Value::Object(members) = value else { return visit(pointer, path, value) };
    let length = pointer.len();
    for (name, value) in members {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        path.push(name.clone());
        visit_fields(value, pointer, path, visit);
        path.pop();
        pointer.truncate(length);
    }
}
