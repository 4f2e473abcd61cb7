//! Generates requests: each form that the host sends, and similar ones.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{
    function_app::{Cardinality, DataType, EventHubTrigger},
    text::iso8601,
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::json;

const BINDING: &str = "messages";

/// A request and its trigger.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) trigger: EventHubTrigger,
    pub(crate) request: String,
}

type Member = (String, String);

/// Generates members of the metadata.
type Members = BoxedStrategy<Vec<Member>>;

pub(crate) fn sent() -> impl Strategy<Value = Sent> {
    let kind = (any::<bool>(), select(vec![DataType::Binary, DataType::String, DataType::Json]));
    kind.prop_flat_map(|(is_many, data_type)| {
        let trigger = trigger(is_many, data_type);
        let most = if is_many { 4 } else { 1 };
        vec(element(data_type), most.min(1)..=most).prop_flat_map(move |elements| {
            let count = if is_many { elements.len() } else { 1 };
            (Just(trigger.clone()), request(data(is_many, elements), metadata(count)))
        })
    })
    .prop_map(|(trigger, request)| Sent { trigger, request })
}

/// Creates the trigger for the generated requests.
pub(crate) fn trigger(is_many: bool, data_type: DataType) -> EventHubTrigger {
    let cardinality = if is_many { Cardinality::Many } else { Cardinality::One };
    EventHubTrigger {
        name: BINDING.into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        connection: "EventHubConnection".into(),
        cardinality,
        data_type,
    }
}

fn request(
    data: impl Strategy<Value = String>,
    metadata: impl Strategy<Value = Option<String>>,
) -> impl Strategy<Value = String> {
    let name = prop_oneof![30 => Just(json::quoted(BINDING, false)), 1 => Just(json::quoted(BINDING, true)), 1 => json::string(3)];
    let data = (name, data, json::spaces()).prop_map(|(name, data, spaces)| json::object(&[(name, data)], &spaces));
    let data = prop_oneof![40 => data, 1 => json::value()];
    let others = vec((json::string(3), json::value()), 0..2);
    (data, metadata, others, json::spaces()).prop_flat_map(|(data, metadata, others, spaces)| {
        let metadata = metadata.map(|metadata| ("\"Metadata\"".to_owned(), metadata));
        let members: Vec<_> = others.into_iter().chain(metadata).chain([("\"Data\"".to_owned(), data)]).collect();
        Just(members)
            .prop_shuffle()
            .prop_map(move |members| format!("{spaces}{}{spaces}", json::object(&members, &spaces)))
    })
}

/// Generates an event as an element of the array, mostly in the form of its data type.
fn element(data_type: DataType) -> impl Strategy<Value = String> {
    let base64 = (vec(any::<u8>(), 0..12), any::<bool>(), any::<bool>()).prop_map(|(body, is_padded, is_escaped)| {
        let text = BASE64_STANDARD.encode(body);
        json::quoted(if is_padded { &text } else { text.trim_end_matches('=') }, is_escaped)
    });
    let no_base64 = "[A-Za-z0-9+/=*]{0,9}".prop_map(|text| json::quoted(&text, false));
    let (binary, string, json) = match data_type {
        DataType::Binary => (8, 1, 1),
        DataType::String => (1, 8, 2),
        DataType::Json => (1, 2, 8),
    };
    prop_oneof![
        binary => base64,
        1 => no_base64,
        string => json::string(12),
        json => json::value_as_sent(),
        // Not a valid string, but RawValue accepts it.
        1 => Just(r#""\ud800""#.to_owned()),
    ]
}

/// Generates the value of the binding.
fn data(is_many: bool, elements: Vec<String>) -> BoxedStrategy<String> {
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

/// Generates the metadata for a batch of this many events.
fn metadata(count: usize) -> impl Strategy<Value = Option<String>> {
    let parts: Vec<Members> = vec![
        column("SequenceNumber", count, number().boxed()),
        column("EnqueuedTimeUtc", count, time().boxed()),
        column("PartitionKey", count, prop_oneof![json::string(6), json::value()].boxed()),
        column("OffsetString", count, prop_oneof![json::string(6), Just("null".to_owned())].boxed()),
        column("Offset", count, prop_oneof![json::string(6), json::value()].boxed()),
        column("Properties", count, properties(&["iothub-creation-time-utc", "firmware"]).boxed()),
        column("SystemProperties", count, properties(&SYSTEM_PROPERTIES).boxed()),
        nested("PartitionContext", context().boxed()),
        nested("TriggerPartitionContext", context().boxed()),
        nested("RetryContext", retry().boxed()),
        prop_oneof![json::value_as_sent().prop_map(|value| vec![("\"sys\"".to_owned(), value)]), Just(Vec::new())]
            .boxed(),
    ];
    let members = parts.prop_flat_map(|parts| Just(parts.concat()).prop_shuffle());
    let object = (members, json::spaces()).prop_map(|(members, spaces)| Some(json::object(&members, &spaces)));
    prop_oneof![30 => object, 1 => Just(None), 1 => Just(Some("null".to_owned())), 1 => json::value().prop_map(Some)]
}

/// Generates the column with this name: an array, or the value of a single event.
fn column(name: &'static str, count: usize, cell: BoxedStrategy<String>) -> Members {
    let array = move |cells: usize| {
        let cells = (vec(cell.clone(), cells), json::spaces());
        cells.prop_map(|(cells, spaces)| json::array(&cells, &spaces)).boxed()
    };
    let member = |key: String| move |value: String| vec![(json::quoted(&key, false), value)];
    let (plural, singular) = (member(format!("{name}Array")), member(name.to_owned()));
    let fits = maybe_in_string(array(count)).prop_map(plural.clone());
    let does_not =
        maybe_in_string(prop_oneof![array(count + 1), array(count.saturating_sub(1)), json::value().boxed()].boxed());
    let single = maybe_in_string(array(1).prop_map(|array| array[1..array.len() - 1].trim().to_owned()).boxed())
        .prop_map(singular.clone());
    let both = (single.clone(), fits.clone()).prop_map(|(single, fits)| [single, fits].concat());
    prop_oneof![
        2 => Just(Vec::new()),
        if count == 1 { 6 } else { 16 } => fits,
        if count == 1 { 10 } else { 1 } => single,
        1 => both,
        1 => does_not.prop_map(plural),
    ]
    .boxed()
}

/// Generates a value unchanged, or in a string.
fn maybe_in_string(value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    (value, any::<bool>(), any::<bool>())
        .prop_map(|(value, is_held, is_escaped)| if is_held { json::quoted(&value, is_escaped) } else { value })
        .boxed()
}

fn nested(name: &str, value: BoxedStrategy<String>) -> Members {
    let name = json::quoted(name, false);
    let value = maybe_in_string(prop_oneof![10 => value, 1 => json::value()].boxed());
    prop_oneof![1 => Just(Vec::new()), 2 => value.prop_map(move |value| vec![(name.clone(), value)])].boxed()
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => (0..99_999_i64).prop_map(|number| number.to_string()),
        4 => (0..99_999_i64).prop_map(|number| format!("\"{number}\"")),
        1 => select(vec!["-1", "null", "\"\"", "1.0", "1e3", "\"+7\"", "9223372036854775808", "\"x\"", "[1]"]).prop_map(str::to_owned),
    ]
}

/// Generates a time as the host writes it: mostly without a zone and without trailing zeros.
fn time() -> impl Strategy<Value = String> {
    let time =
        (1_700_000_000_000..1_800_000_000_000_i64, select(vec!["", "Z", "+00:00", "+02:00"])).prop_map(|(ms, zone)| {
            let text = iso8601(ms);
            format!("{}{zone}", text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.'))
        });
    let odd = [
        "0001-01-01T00:00:00",
        "1999-12-31T23:59:59.999",
        "2000-01-01T00:00:00",
        "2024-11-20T09:14:07.1239999",
        "yesterday",
        "",
    ];
    let time = prop_oneof![14 => time, 1 => select(odd.to_vec()).prop_map(str::to_owned)];
    let written = (time, 0..4_u8).prop_map(|(time, form)| match form {
        0 => json::quoted(&format!("\"{time}\""), false),
        _ => json::quoted(&time, false),
    });
    prop_oneof![20 => written, 1 => Just("null".to_owned()), 1 => json::value()]
}

const SYSTEM_PROPERTIES: [&str; 5] =
    ["content-type", "iothub-connection-device-id", "iothub-enqueuedtime", "iothub-message-source", "x-opt-offset"];

/// Generates properties with some of these names.
fn properties(names: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let name = prop_oneof![
        4 => select(names.to_vec()).prop_map(str::to_owned),
        1 => json::text(4),
    ];
    let value = prop_oneof![
        6 => select(vec!["application/json", "application/x-protobuf", "drone-7", ""]).prop_map(|text| json::quoted(text, false)),
        6 => time(),
        2 => json::string(6),
        1 => json::value_as_sent(),
    ];
    let member = (name, 0..8_u8, value).prop_map(|(name, form, value)| (json::quoted(&name, form == 0), value));
    let object = (vec(member, 0..4), json::spaces()).prop_map(|(members, spaces)| json::object(&members, &spaces));
    prop_oneof![12 => object, 1 => json::value_as_sent()]
}

fn context() -> impl Strategy<Value = String> {
    let part = |name: &'static str| {
        let value = prop_oneof![6 => json::string(6), 1 => Just("null".to_owned()), 1 => json::value()];
        prop::option::weighted(0.9, value.prop_map(move |value| (json::quoted(name, false), value)))
    };
    let parts = (part("FullyQualifiedNamespace"), part("EventHubName"), part("ConsumerGroup"), part("PartitionId"));
    (parts, json::spaces()).prop_map(|((namespace, hub, group, partition), spaces)| {
        let members: Vec<_> = [namespace, hub, group, partition].into_iter().flatten().collect();
        json::object(&members, &spaces)
    })
}

fn retry() -> impl Strategy<Value = String> {
    let count = || prop_oneof![8 => (-1..9_i64).prop_map(|count| count.to_string()), 1 => json::value()];
    (count(), count(), json::spaces()).prop_map(|(count, most, spaces)| {
        json::object(&[("\"RetryCount\"".into(), count), ("\"MaxRetryCount\"".into(), most)], &spaces)
    })
}
