//! Compares declarations of the templates with what a test expects of them, as source text.

use std::path::Path;

use super::bicep::{Template, to_source};

/// What a test expects. Each row begins with a template, such as `main` or `documents`.
pub(crate) struct Expected {
    /// A resource, a property of it, and its value.
    pub(crate) properties: &'static [[&'static str; 4]],
    /// A module, a parameter of it, and its value.
    pub(crate) parameters: &'static [[&'static str; 4]],
    /// A module or resource, and the condition of its deployment, or `always`.
    pub(crate) conditions: &'static [[&'static str; 3]],
    /// A variable, output or default of a parameter, and its value.
    pub(crate) values: &'static [[&'static str; 3]],
}

impl Expected {
    /// Nothing, for the rest of a struct expression.
    pub(crate) const NOTHING: Self = Self { properties: &[], parameters: &[], conditions: &[], values: &[] };

    /// Returns the declarations that are different or missing.
    pub(crate) fn faults(&self, templates: &[Template]) -> Vec<String> {
        let mut faults = Vec::new();
        let template = |name| find_template(templates, name);
        let resource = |name, symbol| template(name).resources.iter().find(|resource| resource.symbol == symbol);
        let module = |name, symbol| template(name).module(symbol);
        for &[name, symbol, path, expected] in self.properties {
            let value = resource(name, symbol).and_then(|resource| resource.body.at(path)).map(to_source);
            compare(&mut faults, &format!("{name}: {symbol}.{path}"), expected, value.as_deref());
        }
        for &[name, symbol, param, expected] in self.parameters {
            let value = module(name, symbol).and_then(|module| module.params.get(param)).map(to_source);
            compare(&mut faults, &format!("{name}: {symbol}.{param}"), expected, value.as_deref());
        }
        for &[name, symbol, expected] in self.conditions {
            let of_module = module(name, symbol).map(|module| module.condition.clone());
            let condition = of_module.or_else(|| resource(name, symbol).map(|resource| resource.condition.clone()));
            let condition = condition.map(|condition| condition.unwrap_or_else(|| "always".to_owned()));
            compare(&mut faults, &format!("{name}: the condition of {symbol}"), expected, condition.as_deref());
        }
        for &[name, declared, expected] in self.values {
            let own = template(name);
            let output = own.outputs.iter().find(|(output, _)| output == declared).map(|(_, value)| value);
            let param = own.param(declared);
            let value = output.or_else(|| own.variable(declared)).or_else(|| param?.default.as_ref());
            compare(&mut faults, &format!("{name}: {declared}"), expected, value.map(to_source).as_deref());
        }
        faults
    }
}

/// Adds a fault if a value is not the expected one.
pub(crate) fn compare(faults: &mut Vec<String>, what: &str, expected: &str, value: Option<&str>) {
    if value != Some(expected) {
        faults.push(format!("{what} is {value:?}, but must be {expected}"));
    }
}

/// Returns the template of a name, such as `main` or `documents`.
pub(crate) fn find_template<'a>(templates: &'a [Template], name: &str) -> &'a Template {
    let folder = if name == "main" { "infra" } else { "infra/modules" };
    let path = Path::new(folder).join(name).with_extension("bicep");
    templates.iter().find(|template| template.path == path).unwrap_or_else(|| panic!("{} is missing", path.display()))
}
