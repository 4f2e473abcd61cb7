//! The app settings that infra/ gives to the function app, as far as they are known before anything is deployed.

use std::collections::BTreeMap;

use super::bicep::{Template, Value};

/// Where the events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventSource {
    IotHub,
    EventHubs,
}

/// The settings by name, with every parameter at its default. What only the deployment knows is made up.
pub(crate) fn app_settings(templates: &[Template], source: EventSource) -> BTreeMap<String, String> {
    let main = &templates[0];
    let app = main.modules.iter().find(|module| module.symbol == "functionApp").expect("the function app's module");
    let settings = app.params.get("appSettings").expect("app settings");
    let mut collected = BTreeMap::new();
    collect(templates, settings, source, &mut collected);
    collected
}

fn collect(templates: &[Template], value: &Value, source: EventSource, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Call(function, parts) if function == "union" => {
            for part in parts {
                collect(templates, part, source, into);
            }
        }
        Value::Other(name) => {
            let variable = templates[0].variable(name).unwrap_or_else(|| panic!("{name} is no variable of settings"));
            collect(templates, variable, source, into);
        }
        Value::Either(condition, branches) => match branches.as_slice() {
            // Settings that are there only under a condition of their own count as there.
            [Value::Object(none), some] if none.is_empty() => collect(templates, some, source, into),
            _ => collect(templates, branch(templates, condition, branches, source), source, into),
        },
        Value::Object(settings) => {
            for (name, value) in settings {
                let value = known(templates, &templates[0], value, source).unwrap_or_else(|| made_up(name));
                into.insert(name.clone(), value);
            }
        }
        other => panic!("these are no settings: {other:?}"),
    }
}

/// What a condition chooses, with every parameter at its default but for the source of events.
fn branch<'a>(templates: &[Template], condition: &str, branches: &'a [Value], source: EventSource) -> &'a Value {
    let text = |name: &str| known(templates, &templates[0], &Value::Other(name.to_owned()), source);
    let is_so = if condition == "usesIotHub" {
        source == EventSource::IotHub
    } else if let Some(name) = condition.strip_prefix("empty(").and_then(|rest| rest.strip_suffix(')')) {
        text(name).is_some_and(|text| text.is_empty())
    } else {
        panic!("what {condition} is, is not known before the deployment")
    };
    &branches[usize::from(!is_so)]
}

fn known(templates: &[Template], template: &Template, value: &Value, source: EventSource) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Call(function, arguments) if function == "string" => known(templates, template, &arguments[0], source),
        Value::Either(condition, branches) => {
            known(templates, template, branch(templates, condition, branches, source), source)
        }
        Value::Other(path) => {
            let param = template.params.iter().find(|param| param.name == *path);
            if let Some(value) = param.and_then(|param| param.default.as_ref()).or(template.variable(path)) {
                return known(templates, template, value, source);
            }
            // `account::blobs::container.name` of a resource; `documents.outputs.databaseName` of a module.
            if let Some(symbol) = path.strip_suffix(".name").and_then(|symbol| symbol.rsplit("::").next()) {
                let resource = template.resources.iter().find(|resource| resource.symbol == symbol)?;
                return resource.body.get("name")?.text().map(str::to_owned);
            }
            let (module, output) = path.split_once(".outputs.")?;
            let module = template.modules.iter().find(|own| own.symbol == module)?;
            let target = templates.iter().find(|template| template.path == module.path)?;
            let (_, value) = target.outputs.iter().find(|(name, _)| name == output)?;
            known(templates, target, value, source)
        }
        Value::List(_) | Value::Each(..) | Value::Object(_) | Value::Call(..) => None,
    }
}

fn made_up(name: &str) -> String {
    if name.ends_with("Uri") || name.ends_with("Endpoint") {
        return "https://made-up.example/".to_owned();
    }
    "made-up".to_owned()
}
