//! The recorded requests of a running host, taken apart.

use std::{fmt, sync::LazyLock};

use devicestate_engine::function_app::{DataType, EventHubTrigger};
use devicestate_test_support::recordings;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::requests::trigger;

/// The name and the value of a member of an object, as JSON.
pub(super) type Member = (String, String);

/// A recorded request.
pub(super) struct Template {
    pub(super) trigger: EventHubTrigger,
    /// The value of the binding.
    pub(super) data: String,
    /// The events in it, as elements of an array.
    pub(super) elements: Vec<String>,
    pub(super) metadata: Vec<Member>,
}

/// The recordings of both triggers for telemetry. Those of a hundred events are left out, since each case would take long.
pub(super) static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let recordings = recordings().into_iter().filter(|recording| !recording.name.contains("hundred"));
    let templates = recordings.filter_map(|recording| {
        let body = String::from_utf8(recording.body()).expect("the host sends UTF-8");
        let kind: Vec<_> = recording.function().trim_start_matches("servicebus-").split('-').collect();
        let data_type = match kind[0] {
            "binary" => DataType::Binary,
            "string" => DataType::String,
            "unset" => DataType::Json,
            _ => return None,
        };
        Some(template(&body, trigger(kind[1] == "many", data_type)))
    });
    templates.collect()
});

fn template(body: &str, trigger: EventHubTrigger) -> Template {
    let [(_, data), (_, metadata)] = <[Member; 2]>::try_from(members(body)).expect("Data and Metadata");
    let [(name, data)] = <[Member; 1]>::try_from(members(&data)).expect("one binding");
    let elements = cells(&data).unwrap_or_else(|| {
        // A single event is base64 in a string, or a text in a string in a string.
        let text: String = serde_json::from_str(&data).expect("a string");
        vec![if text.starts_with('"') { text } else { data.clone() }]
    });
    let name = serde_json::from_str(&name).expect("a string");
    Template { trigger: EventHubTrigger { name, ..trigger }, data, elements, metadata: members(&metadata) }
}

/// Returns the cells of an array in a string; `None` for another value.
pub(super) fn cells(value: &str) -> Option<Vec<String>> {
    let text: String = serde_json::from_str(value).ok()?;
    let cells: Vec<&RawValue> = serde_json::from_str(&text).ok()?;
    Some(cells.into_iter().map(|cell| cell.get().to_owned()).collect())
}

/// Returns the members of an object in their order.
fn members(json: &str) -> Vec<Member> {
    struct Members(Vec<Member>);
    impl<'de> Deserialize<'de> for Members {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Ordered;
            impl<'de> Visitor<'de> for Ordered {
                type Value = Members;

                fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                    formatter.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                        members.push((name.get().to_owned(), value.get().to_owned()));
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Ordered)
        }
    }
    let Members(members) = serde_json::from_str(json).expect("the host sends JSON objects");
    members
}
