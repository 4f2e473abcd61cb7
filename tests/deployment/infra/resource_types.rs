//! Validates the resources by Azure's own types, which `resource-types.mjs` writes into `resource-types.json`.

use serde_json::Value as Json;

use super::{bicep::Value, sources::Sources};

/// Properties that only Bicep uses.
const BICEP_PROPERTIES: [&str; 3] = ["parent", "scope", "dependsOn"];

/// Returns the errors of the resources.
pub(crate) fn faults(sources: &Sources) -> Vec<String> {
    let types: Json = serde_json::from_str(include_str!("resource-types.json")).expect("JSON");
    let templates = sources.templates();
    let mut faults = Vec::new();
    for template in &templates {
        for resource in template.resources.iter().filter(|resource| !resource.is_existing) {
            let at = format!("{}: {}", template.path.display(), resource.symbol);
            let Some(shape) = types.get(&resource.type_name) else {
                faults.push(format!(
                    "{at}: {} is not in resource-types.json; see resource-types.mjs",
                    resource.type_name
                ));
                continue;
            };
            let own = resource.body.properties().iter();
            let body = own.filter(|(name, _)| !BICEP_PROPERTIES.contains(&name.as_str())).cloned().collect();
            compare(&Value::Object(body), shape, &at, &mut faults);
        }
    }
    faults
}

fn compare(value: &Value, shape: &Json, at: &str, faults: &mut Vec<String>) {
    let mut report = |expected: &str| faults.push(format!("{at} is {value:?}: it must be {expected}"));
    match value {
        // Not known before the deployment.
        Value::Other(_) | Value::Call(..) => {}
        Value::Either(_, values) => {
            for value in values {
                compare(value, shape, at, faults);
            }
        }
        Value::Text(text) => match shape {
            Json::Array(allowed) if !allowed.contains(&Json::from(text.as_str())) => report(&format!("one of {shape}")),
            // The service accepts other values, too, but one that differs only in case is a mistake.
            Json::Object(open) if open.contains_key("open") => {
                let known = open["open"].as_array().expect("an array").iter().filter_map(Json::as_str);
                if let Some(expected) =
                    known.into_iter().find(|known| *known != text && known.eq_ignore_ascii_case(text))
                {
                    report(expected);
                }
            }
            Json::Array(_) => {}
            Json::String(word) if word == "string" || word == "any" => {}
            _ => report(&shape.to_string()),
        },
        Value::Number(_) if shape == "int" || shape == "any" => {}
        Value::Bool(_) if shape == "bool" || shape == "any" => {}
        Value::List(values) if shape.get("each").is_some() => {
            for value in values {
                compare(value, &shape["each"], at, faults);
            }
        }
        Value::Each(value, _) if shape.get("each").is_some() => compare(value, &shape["each"], at, faults),
        Value::Object(properties) if shape.get("any").is_some() => {
            for (name, value) in properties {
                compare(value, &shape["any"], &format!("{at}.{name}"), faults);
            }
        }
        Value::Object(properties) if shape.get("of").is_some() => {
            for (name, value) in properties {
                match shape["of"].get(name) {
                    Some(shape) => compare(value, shape, &format!("{at}.{name}"), faults),
                    None => faults.push(format!("{at}: Azure does not support {name} here")),
                }
            }
            let needs = shape.get("needs").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
            faults.extend(needs.filter(|name| value.get(name).is_none()).map(|name| format!("{at} needs {name}")));
        }
        Value::List(_) | Value::Each(..) | Value::Object(_) if shape == "any" => {}
        _ => report(&shape.to_string()),
    }
}
