//! Generates requests: recorded ones of a running host with changes.

use devicestate_engine::function_app::{Cardinality, DataType, EventHubTrigger};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    templates::{Member, TEMPLATES, Template, cells},
    values::{column, element, generated_cell, generated_member},
};
use crate::json;

/// A request and its trigger.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) trigger: EventHubTrigger,
    pub(crate) request: String,
}

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let other_kind = (any::<bool>(), select(vec![DataType::Binary, DataType::String, DataType::Json]));
    let other_kind = prop::option::weighted(0.1, other_kind);
    (0..TEMPLATES.len(), other_kind).prop_flat_map(|(index, other_kind)| {
        let template = &TEMPLATES[index];
        let trigger = match other_kind {
            Some((is_many, data_type)) => {
                EventHubTrigger { name: template.trigger.name.clone(), ..trigger(is_many, data_type) }
            }
            None => template.trigger.clone(),
        };
        request(template).prop_map(move |request| Sent { trigger: trigger.clone(), request })
    })
}

/// Creates a trigger.
pub(crate) fn trigger(is_many: bool, data_type: DataType) -> EventHubTrigger {
    let cardinality = if is_many { Cardinality::Many } else { Cardinality::One };
    EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        connection: "EventHubConnection".into(),
        cardinality,
        data_type,
    }
}

fn request(template: &'static Template) -> impl Strategy<Value = String> {
    let others = vec((json::string(3), json::value()), 0..2);
    let others = prop_oneof![4 => Just(Vec::new()), 1 => others];
    (elements(template), others, json::spaces(), any::<bool>()).prop_flat_map(
        move |(elements, others, spaces, is_shuffled)| {
            let count = elements.as_ref().map_or(template.elements.len(), Vec::len);
            let data = data(template, elements);
            (data, metadata(template, count)).prop_flat_map(move |(data, metadata)| {
                let metadata = metadata.map(|metadata| ("\"Metadata\"".to_owned(), metadata));
                let data = [("\"Data\"".to_owned(), data)];
                let members: Vec<_> = data.into_iter().chain(metadata).chain(others.clone()).collect();
                let spaces = spaces.clone();
                shuffled(members, is_shuffled)
                    .prop_map(move |members| format!("{spaces}{}{spaces}", json::object(&members, &spaces)))
            })
        },
    )
}

/// Generates the same members, in another order if `is_shuffled`.
fn shuffled(members: Vec<Member>, is_shuffled: bool) -> BoxedStrategy<Vec<Member>> {
    if is_shuffled { Just(members).prop_shuffle().boxed() } else { Just(members).boxed() }
}

/// Generates the elements of a changed array of events; `None` if the recorded ones stay.
fn elements(template: &'static Template) -> impl Strategy<Value = Option<Vec<String>>> {
    let data_type = template.trigger.data_type;
    let most = template.elements.len();
    let replaced = (any::<prop::sample::Index>(), element(data_type)).prop_map(move |(at, element)| {
        let mut elements = template.elements.clone();
        elements[at.index(most)] = element;
        elements
    });
    let repeated = any::<prop::sample::Index>().prop_map(move |at| {
        let mut elements = template.elements.clone();
        elements.push(elements[at.index(most)].clone());
        elements
    });
    let dropped = any::<prop::sample::Index>().prop_map(move |at| {
        let mut elements = template.elements.clone();
        elements.remove(at.index(most));
        elements
    });
    let several = vec(element(data_type), most);
    prop_oneof![8 => Just(None), 4 => replaced.prop_map(Some), 2 => several.prop_map(Some),
        1 => repeated.prop_map(Some), 1 => dropped.prop_map(Some)]
}

/// Generates `Data`.
fn data(template: &'static Template, elements: Option<Vec<String>>) -> BoxedStrategy<String> {
    let binding = &template.trigger.name;
    let name = prop_oneof![30 => Just(json::quoted(binding, false)), 1 => Just(json::quoted(binding, true)), 1 => json::string(3)];
    let is_many = template.trigger.cardinality == Cardinality::Many;
    let value = match elements {
        None => prop_oneof![4 => Just(template.data.clone()), 1 => binding_value(is_many, template.elements.clone())]
            .boxed(),
        Some(elements) => binding_value(is_many, elements),
    };
    let object =
        (name, value, json::spaces()).prop_map(|(name, value, spaces)| json::object(&[(name, value)], &spaces));
    prop_oneof![40 => object, 1 => json::value()].boxed()
}

/// Generates the value of the binding.
fn binding_value(is_many: bool, elements: Vec<String>) -> BoxedStrategy<String> {
    let held = (json::spaces(), any::<bool>(), 0..3_u8).prop_map(move |(spaces, is_escaped, form)| {
        let value =
            if is_many { json::array(&elements, &spaces) } else { elements.first().cloned().unwrap_or_default() };
        match form {
            0 => value,
            // The content of a string is the event itself, if there is just one.
            1 if !is_many => serde_json::from_str(&value).map_or(value, |text: String| json::quoted(&text, is_escaped)),
            _ => json::quoted(&value, is_escaped),
        }
    });
    prop_oneof![40 => held, 1 => json::value(), 1 => json::string(5)].boxed()
}

/// Generates the metadata for this many events.
fn metadata(template: &'static Template, count: usize) -> impl Strategy<Value = Option<String>> {
    let recorded: Vec<_> = template.metadata.iter().map(|member| changed(member, count)).collect();
    let names = [
        "SequenceNumber",
        "EnqueuedTimeUtc",
        "PartitionKey",
        "OffsetString",
        "Offset",
        "Properties",
        "SystemProperties",
    ];
    let added = select(names.to_vec()).prop_flat_map(move |name| column(name, count));
    let added = prop_oneof![4 => Just(Vec::new()), 1 => added];
    let members = (recorded, added, any::<bool>()).prop_flat_map(|(recorded, added, is_shuffled)| {
        shuffled(recorded.into_iter().chain([added]).flatten().collect(), is_shuffled)
    });
    let object = (members, json::spaces()).prop_map(|(members, spaces)| Some(json::object(&members, &spaces)));
    prop_oneof![40 => object, 1 => Just(None), 1 => Just(Some("null".to_owned())), 1 => json::value().prop_map(Some)]
}

/// Generates what remains of a member of the metadata: mostly itself.
fn changed(member: &Member, count: usize) -> BoxedStrategy<Vec<Member>> {
    let (name, value) = member;
    let with = |value: String| vec![(name.clone(), value)];
    let name_in_use = name.clone();
    let generated = generated_member(name, count).prop_map(move |value| vec![(name_in_use.clone(), value)]);
    // The recordings have none of the properties of IoT Hub, so these values are changed more often.
    let weight = if name.contains("Properties") { 12 } else { 3 };
    let encoded = encoded(value).into_iter().map(with).collect::<Vec<_>>();
    prop_oneof![
        24 => Just(with(value.clone())),
        1 => Just(Vec::new()),
        1 => select(vec![with("null".into()), with("\"null\"".into())]),
        1 => Just([with(value.clone()), with(value.clone())].concat()),
        3 => select(encoded),
        weight => generated,
        weight => with_other_cell(member),
    ]
    .boxed()
}

/// Returns a value in other encodings: without the string that contains it, in a string, in a string with escapes.
fn encoded(value: &str) -> Vec<String> {
    let content = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
    // Text that is not JSON, such as a time, only has its own form.
    let plain = serde_json::from_str::<&serde_json::value::RawValue>(&content).map_or(value, |_| &content);
    vec![plain.to_owned(), json::quoted(&content, false), json::quoted(&content, true), json::quoted(value, false)]
}

/// Generates an array with another, a missing or an additional cell; any other value stays.
fn with_other_cell(member: &Member) -> BoxedStrategy<Vec<Member>> {
    let (name, value) = member.clone();
    let Some(cells) = cells(&value) else { return Just(vec![(name, value)]).boxed() };
    (any::<prop::sample::Index>(), 0..8_u8, generated_cell(&name))
        .prop_map(move |(at, form, cell)| {
            let mut cells = cells.clone();
            match form {
                0 => cells.push(cell),
                _ if cells.is_empty() => {}
                1 => drop(cells.remove(at.index(cells.len()))),
                _ => {
                    let at = at.index(cells.len());
                    cells[at] = cell;
                }
            }
            vec![(name.clone(), json::quoted(&json::array(&cells, ""), false))]
        })
        .boxed()
}
