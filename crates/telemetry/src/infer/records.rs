//! Finds where the records of a body are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    choose::{is_device_name, is_time_name, may_be_device_name},
    sample::Sample,
};

/// Where the records of a body are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// The body is a record, or an array of records.
    Body,
    /// An array in the body contains the records.
    Records { pointer: String },
    /// An array of the record contains pairs of a name and a value.
    NamedValues { pointer: String, name: String, value: String },
}

impl Layout {
    /// Returns whether this is the array of the layout.
    pub(super) fn is_at(&self, other: &str) -> bool {
        match self {
            Self::Body => false,
            Self::Records { pointer } | Self::NamedValues { pointer, .. } => pointer == other,
        }
    }

    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Body => None,
            Self::Records { pointer } => {
                Some(format!("records: the elements of {pointer}, because they have times or device ids of their own"))
            }
            Self::NamedValues { pointer, name, value } => {
                Some(format!("readings: pairs of a name ({name}) and a value ({value}) in {pointer}"))
            }
        }
    }
}

/// The deepest array that is considered, in members.
const MAX_DEPTH: usize = 4;

/// Returns the layout that most bodies have.
pub(super) fn find_layout(sample: &Sample) -> Layout {
    let bodies: Vec<_> = sample.events.iter().flat_map(|event| &event.bodies).collect();
    let mut arrays: BTreeMap<String, Vec<&Vec<Value>>> = BTreeMap::new();
    for body in &bodies {
        collect_arrays(body, String::new(), 0, &mut arrays);
    }
    let mut candidates: Vec<_> = arrays.into_iter().filter(|(_, arrays)| arrays.len() * 2 >= bodies.len()).collect();
    candidates.sort_by_key(|(_, arrays)| std::cmp::Reverse(arrays.len()));
    for (pointer, arrays) in candidates {
        if let Some((name, value)) = named_values(&arrays) {
            return Layout::NamedValues { pointer, name, value };
        }
        let names = common_names(&arrays);
        let has_device = names.iter().any(|name| is_device_name(name));
        let has_time = names.iter().any(|name| is_time_name(name));
        let may_have_device = names.iter().any(|name| may_be_device_name(name));
        // Many a list within a record has times or ids, too.
        let is_usual = USUAL_NAMES.contains(&&*pointer.rsplit('/').next().unwrap_or_default().to_ascii_lowercase());
        if has_device
            || is_usual && may_have_device
            || has_time && (is_usual || !bodies.iter().any(|body| has_outer_time(body, 0)))
        {
            return Layout::Records { pointer };
        }
    }
    Layout::Body
}

/// The usual names of an array of records, in lower case.
const USUAL_NAMES: [&str; 12] = [
    "records",
    "readings",
    "measurements",
    "telemetry",
    "events",
    "data",
    "samples",
    "values",
    "items",
    "observations",
    "points",
    "entries",
];

/// Returns whether a body has a time outside its arrays.
fn has_outer_time(value: &Value, depth: usize) -> bool {
    let members = value.as_object().into_iter().flatten().filter(|_| depth < MAX_DEPTH);
    members.into_iter().any(|(name, value)| match value {
        Value::Object(_) => has_outer_time(value, depth + 1),
        Value::Array(_) => false,
        _ => is_time_name(name),
    })
}

/// Collects the arrays of objects by pointer.
fn collect_arrays<'v>(
    value: &'v Value,
    pointer: String,
    depth: usize,
    arrays: &mut BTreeMap<String, Vec<&'v Vec<Value>>>,
) {
    match value {
        Value::Array(elements) if !elements.is_empty() && elements.iter().all(Value::is_object) => {
            arrays.entry(pointer).or_default().push(elements);
        }
        Value::Object(members) if depth < MAX_DEPTH => {
            for (name, value) in members {
                let token = name.replace('~', "~0").replace('/', "~1");
                collect_arrays(value, format!("{pointer}/{token}"), depth + 1, arrays);
            }
        }
        _ => {}
    }
}

/// Returns the names that all elements have.
fn common_names(arrays: &[&Vec<Value>]) -> BTreeSet<String> {
    let names = |element: &Value| element.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect();
    let elements = arrays.iter().flat_map(|elements| elements.iter());
    elements.map(names).reduce(|one: BTreeSet<String>, other| &one & &other).unwrap_or_default()
}

/// Returns the pointers to the name and to the value of elements that are pairs.
fn named_values(arrays: &[&Vec<Value>]) -> Option<(String, String)> {
    const NAMES: [&str; 9] = ["name", "key", "metric", "tag", "tagname", "signal", "parameter", "n", "id"];
    const VALUES: [&str; 4] = ["value", "val", "v", "data"];
    let common = common_names(arrays);
    let find =
        |known: &[&str]| known.iter().find_map(|known| common.iter().find(|name| name.to_ascii_lowercase() == *known));
    let (name, value) = (find(&NAMES)?, find(&VALUES)?);
    let has_distinct_names = arrays.iter().all(|elements| {
        let names: Option<BTreeSet<_>> = elements.iter().map(|element| element[name.as_str()].as_str()).collect();
        names.is_some_and(|names| names.len() == elements.len())
    });
    has_distinct_names.then(|| (format!("/{name}"), format!("/{value}")))
}
