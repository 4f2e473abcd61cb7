//! The form of a request, to compare those that tests build with recorded ones.

use serde_json::{Map, Value, json};

/// Returns the form of JSON: for each value its type, for a string what it contains, and for an array the form of its first
/// element. Two requests of the same kind have the same form, whatever their values.
pub fn form(json: &Value) -> Value {
    match json {
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(_) => "number".into(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(_)) | Err(_) => "text".into(),
            Ok(Value::String(_)) => json!({"in a string": "text"}),
            Ok(json) => json!({"in a string": form(&json)}),
        },
        Value::Array(elements) => json!([elements.first().map(form)]),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), form(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// Checks that the body of a request has the members of a recorded one, in the same encodings, and system properties in the same order.
/// The order of other members is lost where a test builds a request as a [`Value`].
#[track_caller]
pub fn assert_form(request: &Value, recorded: &Value) {
    let [mut form, mut expected] = [form(request), form(recorded)];
    // Each sender sets its own properties.
    for form in [&mut form, &mut expected] {
        for name in ["ApplicationProperties", "UserProperties", "PropertiesArray"] {
            if let Some(properties) = form["Metadata"].get_mut(name) {
                *properties = "properties".into();
            }
        }
    }
    assert_eq!(form, expected);
    let order = |request: &Value| {
        let first = request["Metadata"]["SystemPropertiesArray"].as_str().map(names_of_first_element);
        first.unwrap_or_default()
    };
    assert_eq!(order(request), order(recorded));
}

/// Returns the names of the first object of an array, in their order.
fn names_of_first_element(array: &str) -> Vec<String> {
    let elements: Vec<Map<String, Value>> = serde_json::from_str(array).expect("an array of objects");
    let place = |name: &String| array.find(&format!("{}:", json!(name))).expect("a member");
    let mut names: Vec<_> = elements.first().into_iter().flat_map(|first| first.keys().cloned()).collect();
    names.sort_by_key(place);
    names
}
