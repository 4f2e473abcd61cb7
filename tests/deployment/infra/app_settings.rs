//! The app settings that infra/ gives to a function app, as far as they are known before anything is deployed.

use std::{collections::BTreeMap, path::Path};

use super::bicep::{Module, Template, Value};

/// Which of the function apps, and of which deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// That of a deployment with an IoT Hub.
    WithIotHub,
    /// That of a deployment with Event Hubs, in the first region of one or of two.
    First,
    /// That of the second region.
    Standby,
    /// That of a deployment with Event Hubs and sessions.
    WithSessions,
}

/// The function apps that there can be.
pub(crate) const APPS: [App; 4] = [App::First, App::Standby, App::WithIotHub, App::WithSessions];

/// The standby region where there is one.
const STANDBY_LOCATION: &str = "northeurope";

/// The settings by name, with every parameter at its default but for what makes it this app. What only the deployment
/// knows is made up.
pub(crate) fn app_settings(templates: &[Template], app: App) -> BTreeMap<String, String> {
    let main = Scope { templates, template: &templates[0], caller: None, app };
    let region = main.module("region");
    let region = Scope { template: main.target(region), caller: Some((&main, region)), ..main };
    let settings = region.module("functionApp").params.get("appSettings").expect("app settings");
    let mut collected = BTreeMap::new();
    region.collect(settings, &mut collected);
    collected
}

/// A template as it is deployed.
#[derive(Clone, Copy)]
struct Scope<'a> {
    templates: &'a [Template],
    template: &'a Template,
    /// The template that calls it as a module, and the call.
    caller: Option<(&'a Scope<'a>, &'a Module)>,
    app: App,
}

impl<'a> Scope<'a> {
    fn module(&self, symbol: &str) -> &'a Module {
        let mut modules = self.template.modules.iter();
        modules.find(|module| module.symbol == symbol).unwrap_or_else(|| panic!("there is no module {symbol}"))
    }

    fn target(&self, module: &Module) -> &'a Template {
        let path: &Path = &module.path;
        self.templates.iter().find(|template| template.path == path).expect("a module of infra/")
    }

    /// What a parameter is given, or else its default; what a variable is.
    fn definition(&self, name: &str) -> Option<(Scope<'a>, &'a Value)> {
        let given = self.caller.and_then(|(caller, call)| Some((*caller, call.params.get(name)?)));
        let param = self.template.params.iter().find(|param| param.name == name);
        let own = param.and_then(|param| param.default.as_ref()).or_else(|| self.template.variable(name));
        given.or_else(|| own.map(|value| (*self, value)))
    }

    fn collect(&self, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Call(function, parts) if function == "union" => {
                for part in parts {
                    self.collect(part, into);
                }
            }
            Value::Other(name) => {
                let (scope, value) =
                    self.definition(name).unwrap_or_else(|| panic!("nobody knows the settings {name}"));
                scope.collect(value, into);
            }
            Value::Either(condition, branches) => match branches.as_slice() {
                // Settings that are there only under a condition of their own count as there.
                [Value::Object(none), some] if none.is_empty() => self.collect(some, into),
                _ => self.collect(self.branch(condition, branches), into),
            },
            Value::Object(settings) => {
                for (name, value) in settings {
                    into.insert(name.clone(), self.known(value).unwrap_or_else(|| made_up(name)));
                }
            }
            other => panic!("these are no settings: {other:?}"),
        }
    }

    /// What a condition chooses.
    fn branch<'b>(&self, condition: &str, branches: &'b [Value]) -> &'b Value {
        let is_so = match condition {
            "usesIotHub" => self.app == App::WithIotHub,
            "withEventHubs" => self.app != App::WithIotHub,
            "withSessions" => self.app == App::WithSessions,
            _ => {
                let name = condition.strip_prefix("empty(").and_then(|rest| rest.strip_suffix(')'));
                let name = name.unwrap_or_else(|| panic!("what {condition} is, is not known before the deployment"));
                self.known(&Value::Other(name.to_owned())).is_some_and(|text| text.is_empty())
            }
        };
        &branches[usize::from(!is_so)]
    }

    fn known(&self, value: &Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(bool) => Some(bool.to_string()),
            Value::Call(function, arguments) if function == "string" => self.known(&arguments[0]),
            Value::Either(condition, branches) => self.known(self.branch(condition, branches)),
            Value::Other(path) if path == "standbyLocation" && self.app == App::Standby => {
                Some(STANDBY_LOCATION.into())
            }
            Value::Other(path) => {
                if let Some((scope, value)) = self.definition(path) {
                    return scope.known(value);
                }
                // `account::blobs::container.name` of a resource; `documents.outputs.databaseName` of a module.
                if let Some(symbol) = path.strip_suffix(".name").and_then(|symbol| symbol.rsplit("::").next()) {
                    let resource = self.template.resources.iter().find(|resource| resource.symbol == symbol)?;
                    return resource.body.get("name")?.text().map(str::to_owned);
                }
                let (module, output) = path.split_once(".outputs.")?;
                let module = self.template.modules.iter().find(|own| own.symbol == module)?;
                let target = self.target(module);
                let (_, value) = target.outputs.iter().find(|(name, _)| name == output)?;
                Scope { template: target, caller: Some((self, module)), ..*self }.known(value)
            }
            Value::List(_) | Value::Each(..) | Value::Object(_) | Value::Call(..) => None,
        }
    }
}

fn made_up(name: &str) -> String {
    if name.ends_with("Uri") || name.ends_with("Endpoint") {
        return "https://made-up.example/".to_owned();
    }
    "made-up".to_owned()
}
