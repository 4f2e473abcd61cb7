//! Generates values of events and of their metadata, valid ones and others.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{function_app::DataType, text::iso8601};
use proptest::{collection::vec, prelude::*, sample::select};

use super::templates::Member;
use crate::json;

/// Generates another value for the metadata of this name, which is JSON.
pub(super) fn generated_member(name: &str, count: usize) -> BoxedStrategy<String> {
    let name: String = serde_json::from_str(name).expect("the host's names are strings");
    match name.as_str() {
        "PartitionContext" | "TriggerPartitionContext" => nested(context().boxed()),
        "RetryContext" => nested(retry().boxed()),
        _ => match name.strip_suffix("Array") {
            Some(single) => array_of(cell(single), count),
            None => maybe_in_string(cell(&name)),
        },
    }
}

/// Generates another cell for the array of this name, which is JSON.
pub(super) fn generated_cell(name: &str) -> BoxedStrategy<String> {
    cell(name.trim_matches('"').trim_end_matches("Array"))
}

/// Generates the value of one event in the column with this name.
fn cell(column: &str) -> BoxedStrategy<String> {
    match column {
        "SequenceNumber" => number().boxed(),
        "EnqueuedTimeUtc" => time().boxed(),
        "OffsetString" => prop_oneof![json::string(6), Just("null".to_owned())].boxed(),
        "Properties" => properties(&["iothub-creation-time-utc", "firmware"]).boxed(),
        "SystemProperties" => properties(&SYSTEM_PROPERTIES).boxed(),
        _ => prop_oneof![json::string(6), json::value_as_sent()].boxed(),
    }
}

/// Generates an event as an element of the array, mostly in the form of its data type.
pub(super) fn element(data_type: DataType) -> impl Strategy<Value = String> {
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

/// Generates an array of this many cells, of one more or less, or another value; in a string or not.
fn array_of(cell: BoxedStrategy<String>, count: usize) -> BoxedStrategy<String> {
    let array = move |cells: usize| {
        let cells = (vec(cell.clone(), cells), json::spaces());
        cells.prop_map(|(cells, spaces)| json::array(&cells, &spaces)).boxed()
    };
    let does_not_fit = prop_oneof![array(count + 1), array(count.saturating_sub(1)), json::value().boxed()];
    maybe_in_string(prop_oneof![8 => array(count), 1 => does_not_fit].boxed())
}

/// Generates the column with this name: an array, or the value of a single event, or both.
pub(super) fn column(name: &'static str, count: usize) -> BoxedStrategy<Vec<Member>> {
    let member = |key: String| move |value: String| vec![(json::quoted(&key, false), value)];
    let array = array_of(cell(name), count).prop_map(member(format!("{name}Array")));
    let single = maybe_in_string(cell(name)).prop_map(member(name.to_owned()));
    let both = (single.clone(), array.clone()).prop_map(|(single, array)| [single, array].concat());
    prop_oneof![array, single, both].boxed()
}

/// Generates a value unchanged, or in a string.
fn maybe_in_string(value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    (value, any::<bool>(), any::<bool>())
        .prop_map(|(value, is_held, is_escaped)| if is_held { json::quoted(&value, is_escaped) } else { value })
        .boxed()
}

fn nested(value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    maybe_in_string(prop_oneof![10 => value, 1 => json::value()].boxed())
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

const SYSTEM_PROPERTIES: [&str; 10] = [
    "content-type",
    "iothub-connection-device-id",
    "iothub-enqueuedtime",
    "iothub-message-source",
    "x-opt-offset",
    "x-opt-sequence-number",
    "SequenceNumber",
    "OffsetString",
    "PartitionKey",
    "EnqueuedTimeUtc",
];

/// Generates properties with some of these names.
fn properties(names: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let name = prop_oneof![
        4 => select(names.to_vec()).prop_map(str::to_owned),
        1 => json::text(4),
    ];
    let member = (name, 0..8_u8).prop_flat_map(|(name, form)| {
        let usual = match name.as_str() {
            "iothub-enqueuedtime" | "iothub-creation-time-utc" | "EnqueuedTimeUtc" => time().boxed(),
            "SequenceNumber" | "x-opt-sequence-number" => number().boxed(),
            _ => select(vec!["\"application/json\"", "\"application/x-protobuf\"", "\"drone-7\"", "\"\""])
                .prop_map(str::to_owned)
                .boxed(),
        };
        let value = prop_oneof![8 => usual, 1 => json::string(6), 1 => json::value_as_sent()];
        value.prop_map(move |value| (json::quoted(&name, form == 0), value))
    });
    let object = (vec(member, 0..6), json::spaces()).prop_map(|(members, spaces)| json::object(&members, &spaces));
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
