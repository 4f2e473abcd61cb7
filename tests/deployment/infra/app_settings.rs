//! The app settings that infra/ sets, as far as they are known before the deployment.

use std::{collections::BTreeMap, path::Path};

use super::bicep::{Module, Template, Value};

/// A function app, by its kind of deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// The app of a deployment with an IoT Hub.
    WithIotHub,
    /// The app of a deployment with Event Hubs, in the first region of one or two.
    First,
    /// The app of the second region.
    Standby,
    /// The app of a deployment with Event Hubs and sessions.
    WithSessions,
}

/// All function apps.
pub(crate) const APPS: [App; 4] = [App::First, App::Standby, App::WithIotHub, App::WithSessions];

/// The standby region.
pub(super) const STANDBY_LOCATION: &str = "northeurope";

/// Returns the settings by name, with default parameters except for those that define this app. Values that only the
/// deployment knows are placeholders.
pub(crate) fn app_settings(templates: &[Template], app: App) -> BTreeMap<String, String> {
    let main = Scope { templates, template: &templates[0], caller: None, app };
    let region = main.module("region");
    let region = Scope { template: main.target(region), caller: Some((&main, region)), ..main };
    let settings = region.module("functionApp").params.get("appSettings").expect("app settings");
    let mut to_settings = BTreeMap::new();
    region.collect(settings, &mut to_settings);
    to_settings
}

/// A template as it is deployed.
#[derive(Clone, Copy)]
struct Scope<'a> {
    templates: &'a [Template],
    template: &'a Template,
    /// The template that uses it as a module, and the module declaration.
    caller: Option<(&'a Scope<'a>, &'a Module)>,
    app: App,
}

impl<'a> Scope<'a> {
    fn module(&self, symbol: &str) -> &'a Module {
        let mut modules = self.template.modules.iter();
        modules.find(|module| module.symbol == symbol).unwrap_or_else(|| panic!("the module {symbol} does not exist"))
    }

    fn target(&self, module: &Module) -> &'a Template {
        let path: &Path = &module.path;
        self.templates.iter().find(|template| template.path == path).expect("a module of infra/")
    }

    /// Returns the argument or default of a parameter, or the value of a variable.
    fn definition(&self, name: &str) -> Option<(Scope<'a>, &'a Value)> {
        let set = self.caller.and_then(|(caller, call)| Some((*caller, call.params.get(name)?)));
        let param = self.template.params.iter().find(|param| param.name == name);
        let own = param.and_then(|param| param.default.as_ref()).or_else(|| self.template.variable(name));
        set.or_else(|| own.map(|value| (*self, value)))
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
                    self.definition(name).unwrap_or_else(|| panic!("the settings {name} are not defined"));
                scope.collect(value, into);
            }
            Value::Either(condition, branches) => match branches.as_slice() {
                // Settings with their own condition count as set.
                [Value::Object(none), some] if none.is_empty() => self.collect(some, into),
                _ => self.collect(self.branch(condition, branches), into),
            },
            Value::Object(settings) => {
                for (name, value) in settings {
                    into.insert(name.clone(), self.known(value).unwrap_or_else(|| placeholder(name)));
                }
            }
            other => panic!("not settings: {other:?}"),
        }
    }

    /// Returns the branch that a condition selects.
    fn branch<'b>(&self, condition: &str, branches: &'b [Value]) -> &'b Value {
        &branches[usize::from(!condition.split(" || ").any(|condition| self.is_true(condition)))]
    }

    fn is_true(&self, condition: &str) -> bool {
        match condition {
            "usesIotHub" => self.app == App::WithIotHub,
            "withEventHubs" => self.app != App::WithIotHub,
            "withSessions" => self.app == App::WithSessions,
            "index > 0" => self.app == App::Standby,
            _ => {
                let name = condition.strip_prefix("empty(").and_then(|rest| rest.strip_suffix(')'));
                let name = name.unwrap_or_else(|| panic!("{condition} is not known before the deployment"));
                self.known(&Value::Other(name.to_owned())).is_some_and(|text| text.is_empty())
            }
        }
    }

    fn known(&self, value: &Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(bool) => Some(bool.to_string()),
            Value::Call(function, arguments) if function == "string" => self.known(&arguments[0]),
            Value::Call(function, arguments) if function == "join" => {
                let (Value::Other(name), separator) = (&arguments[0], self.known(&arguments[1])?) else { return None };
                let (scope, Value::List(parts)) = self.definition(name)? else { return None };
                Some(parts.iter().map(|part| scope.known(part)).collect::<Option<Vec<_>>>()?.join(&separator))
            }
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

/// The values of settings that only the deployment knows: of addresses, and of others.
pub(super) const PLACEHOLDERS: [&str; 2] = ["https://made-up.example/", "made-up"];

fn placeholder(name: &str) -> String {
    let is_address = name.ends_with("Uri") || name.ends_with("Endpoint");
    PLACEHOLDERS[usize::from(!is_address)].to_owned()
}
