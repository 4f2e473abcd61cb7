//! Compares what the tests' reader of Bicep reads in infra/ with what Bicep's own compiler wrote (`compiled/`), file by file:
//! a file that was changed since is not compared, and the test says so. `scripts/deploy-infra.sh --check` runs the compiler.

mod data;
mod examples;
mod expressions;
pub(super) mod json;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{
    arm::{DEPLOYMENT, Scope, symbol_path},
    bicep::{LIMITS, Module, Param, Resource, Template, Value, to_source},
    roles,
    sources::{Sources, assert_no_faults},
};
use data::Compiled;
use json::{Property, is_expression, property, string};

/// Properties that only Bicep has, and those that are compared by themselves.
const OWN_PROPERTIES: [&str; 4] = ["parent", "scope", "dependsOn", "name"];

/// What a comparison found.
#[derive(Debug, Default)]
struct Findings {
    faults: Vec<String>,
    /// The number of values that are equal.
    equal: usize,
    /// The expressions with a form that is not translated.
    untranslated: Vec<String>,
    /// The number of resources by type and version, without modules.
    resources: BTreeMap<String, usize>,
    modules: usize,
}

#[test]
fn the_reader_reads_what_the_compiler_wrote() {
    let (sources, compiled) = (Sources::read(), Compiled::read());
    let changed = compiled.changed(&sources);
    let findings = compare(&sources, &compiled, &changed);
    assert_no_faults(&findings.faults);
    if changed.is_empty() {
        // All was read, and nearly all was compared. At b1acaf4 40 types in 81 resources, 21 modules, 2,665 values.
        assert!(findings.resources.len() > 30 && findings.modules > 15, "{findings:?}");
        assert!(findings.equal > 2000 && findings.untranslated.len() <= 10, "{findings:?}");
        assert_no_faults(&compiled.snapshot_faults(&sources));
    } else {
        data::report(&changed);
    }
}

/// Compares each template whose file is as it was when it was compiled.
fn compare(sources: &Sources, compiled: &Compiled, changed: &BTreeSet<String>) -> Findings {
    let templates = sources.templates();
    let mut findings = Findings::default();
    let mut open = vec![(&templates[0], &compiled.main)];
    while let Some((template, json)) = open.pop() {
        if data::inputs(template, sources).is_disjoint(changed) {
            let mut comparison = Comparison { template, compiled: json, findings: &mut findings };
            comparison.all(sources);
            comparison.role_assignments();
        }
        // Its modules may be as they were even if it was changed.
        open.extend(nested(template, json).filter_map(|(module, json)| Some((target(&templates, module)?, json))));
    }
    findings
}

/// Returns the modules of a template that the compiler knew, with their compiled templates.
fn nested<'a>(template: &'a Template, json: &'a Json) -> impl Iterator<Item = (&'a Module, &'a Json)> {
    let scope = Scope::new(template, json);
    let modules = template.modules.iter();
    modules.filter_map(move |module| Some((module, &scope.deployment(module)?["properties"]["template"])))
}

fn target<'a>(templates: &'a [Template], module: &Module) -> Option<&'a Template> {
    templates.iter().find(|template| template.path == module.path)
}

/// A template, and what the compiler made of it.
struct Comparison<'a> {
    template: &'a Template,
    compiled: &'a Json,
    findings: &'a mut Findings,
}

impl Comparison<'_> {
    fn all(&mut self, sources: &Sources) {
        let scope = Scope::new(self.template, self.compiled);
        self.params(&scope);
        self.variables(&scope);
        self.files(sources);
        self.resources(&scope);
        self.modules(&scope);
        let outputs = self.compiled["outputs"].as_object();
        let names: BTreeSet<&str> = self.template.outputs.iter().map(|(name, _)| name.as_str()).collect();
        self.same_names("outputs", &names, &outputs.into_iter().flatten().map(|(name, _)| name.as_str()).collect());
        for (name, value) in &self.template.outputs {
            self.value(value, &self.compiled["outputs"][name]["value"], &scope, &format!("output {name}"));
        }
    }

    /// Compares the number of role assignments with the table of `roles.rs`.
    fn role_assignments(&mut self) {
        let compiled = self.compiled["resources"].as_array().into_iter().flatten();
        let types = compiled.map(|resource| string(&resource["type"]).to_lowercase());
        let assigned = types.filter(|name| name.ends_with("/roleassignments") || name.ends_with("/sqlroleassignments"));
        self.same("role assignments, in the table of roles.rs", &roles::intended(self.template), &assigned.count());
    }

    fn params(&mut self, scope: &Scope) {
        let compiled = self.compiled["parameters"].as_object();
        let names: BTreeSet<&str> = self.template.params.iter().map(|param| param.name.as_str()).collect();
        self.same_names("parameters", &names, &compiled.into_iter().flatten().map(|(name, _)| name.as_str()).collect());
        for param in &self.template.params {
            let json = &self.compiled["parameters"][&param.name];
            let at = format!("parameter {}", param.name);
            match (&param.default, json.get("defaultValue")) {
                (Some(default), Some(json)) => self.value(default, json, scope, &at),
                (default, json) => self.same(&format!("{at}: has a default"), &default.is_some(), &json.is_some()),
            }
            let Param { allowed, limits, is_secure, .. } = param;
            let values = json["allowedValues"].as_array().into_iter().flatten();
            let values: Vec<String> =
                values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
            self.same(&format!("{at}: allowed"), allowed, &values);
            let known = LIMITS.iter().filter_map(|limit| Some(((*limit).to_owned(), json[limit].as_i64()?)));
            self.same(&format!("{at}: limits"), &limits, &&known.collect::<Vec<_>>());
            let is_hidden = json["type"].as_str().is_some_and(|name| name.starts_with("secure"));
            self.same(&format!("{at}: is secure"), is_secure, &is_hidden);
        }
    }

    fn variables(&mut self, scope: &Scope) {
        for (name, value) in &self.template.variables {
            if !scope.keeps_variable(name) {
                continue;
            }
            let variables = &self.compiled["variables"];
            match property(variables, name) {
                Some(Property::Value(json)) => self.value(value, json, scope, &format!("variable {name}")),
                Some(Property::Copy(json)) => self.each(value, json, scope, &format!("variable {name}")),
                None => {}
            }
        }
        let compiled = self.compiled["variables"].as_object().into_iter().flatten();
        let own = |name: &str| self.template.variable(name).is_some() || name.starts_with(FILE) || name == "copy";
        let unknown: Vec<&String> = compiled.map(|(name, _)| name).filter(|name| !own(name)).collect();
        self.same("variables that only the compiler has", &unknown, &Vec::new());
    }

    /// Compares the files that the template loads.
    fn files(&mut self, sources: &Sources) {
        let variables = self.compiled["variables"].as_object().into_iter().flatten();
        let compiled = variables.filter(|(name, _)| name.starts_with(FILE)).map(|(_, value)| value.clone());
        let mut compiled: Vec<Json> = compiled.collect();
        for path in data::loaded(self.template, sources) {
            let text = sources.text(&path);
            let content = if text.starts_with(['{', '[']) { sources.json(&path) } else { Json::from(text) };
            match compiled.iter().position(|value| *value == content) {
                Some(place) => drop(compiled.remove(place)),
                None => self.fault(&format!("{path} is loaded"), "its content", "something else"),
            }
            self.findings.equal += 1;
        }
        self.same("files that only the compiler loads", &compiled.len(), &0);
    }

    fn resources(&mut self, scope: &Scope) {
        let compiled = self.compiled["resources"].as_array().into_iter().flatten();
        let mut compiled: Vec<&Json> = compiled.filter(|resource| resource["type"] != DEPLOYMENT).collect();
        for resource in self.template.resources.iter().filter(|resource| !resource.is_existing) {
            *self.findings.resources.entry(resource.type_name.clone()).or_default() += 1;
            let at = format!("resource {}", symbol_path(resource));
            let around = effective(scope, resource);
            let inner = around.over.as_ref().map_or_else(|| scope.clone(), |over| scope.in_loop(over, "copyIndex()"));
            let expected = inner.name(resource);
            let found = compiled.iter().position(|json| {
                format!("{}@{}", string(&json["type"]), string(&json["apiVersion"])) == resource.type_name
                    && expected.as_ref().is_none_or(|name| is_expression(&json["name"], name))
            });
            let Some(found) = found else {
                let name = expected.unwrap_or_default();
                self.fault(&at, &format!("{} {name}", resource.type_name), "no such resource");
                continue;
            };
            let json = compiled.remove(found);
            self.condition(&around.conditions, json, &inner, &at);
            self.copy(around.over.as_deref(), json, scope, &at, &symbol_path(resource));
            self.dependencies(resource.body.get("dependsOn"), json, &inner, &at);
            self.scope(resource, json, &inner, &at);
            let own = |name: &String| OWN_PROPERTIES.contains(&name.as_str());
            let properties = resource.body.properties().iter().filter(|(name, _)| !own(name)).cloned().collect();
            let of_bicep = ["type", "apiVersion", "name", "scope", "condition", "copy", "dependsOn", "metadata"];
            let mut json = json.as_object().cloned().unwrap_or_default();
            json.retain(|name, _| !of_bicep.contains(&name.as_str()));
            self.value(&Value::Object(properties), &Json::Object(json), &inner, &at);
        }
        let more: Vec<String> = compiled.iter().map(|json| format!("{} {}", json["type"], json["name"])).collect();
        self.same("resources that only the compiler has", &more, &Vec::new());
    }

    fn modules(&mut self, scope: &Scope) {
        let compiled = self.compiled["resources"].as_array().into_iter().flatten();
        let compiled: Vec<&Json> = compiled.filter(|resource| resource["type"] == DEPLOYMENT).collect();
        self.same("the number of modules", &self.template.modules.len(), &compiled.len());
        self.findings.modules += compiled.len();
        for (module, json) in self.template.modules.iter().zip(compiled) {
            let at = format!("module {}", module.symbol);
            let over = module.loop_source.as_deref();
            let inner = over.map_or_else(|| scope.clone(), |over| scope.in_loop(over, "copyIndex()"));
            let conditions = module.condition.iter().cloned().collect::<Vec<_>>();
            self.condition(&conditions, json, &inner, &at);
            self.copy(over, json, scope, &at, &module.symbol);
            self.expression(module.name.as_deref().and_then(|name| inner.text(name)), &json["name"], &at);
            if let Some(symbols) = &module.waits_for {
                let symbols =
                    symbols.trim_matches(['[', ']']).split(", ").map(|symbol| Value::Other(symbol.to_owned()));
                self.dependencies(Some(&Value::List(symbols.collect())), json, &inner, &at);
            }
            let json = &json["properties"]["parameters"];
            let names: BTreeSet<&str> = module.params.properties().iter().map(|(name, _)| name.as_str()).collect();
            let compiled = json.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            self.same_names(&format!("{at}: parameters"), &names, &compiled.collect());
            for (name, value) in module.params.properties() {
                let at = format!("{at}: {name}");
                match (property(&json[name], "value"), &json[name]) {
                    (Some(Property::Value(json)), _) => self.value(value, json, &inner, &at),
                    (Some(Property::Copy(json)), _) => self.each(value, json, &inner, &at),
                    (None, json) => self.expression(argument(value, &inner), json, &at),
                }
            }
        }
    }

    fn condition(&mut self, conditions: &[String], json: &Json, scope: &Scope, at: &str) {
        let translated = conditions.iter().map(|condition| scope.text(condition)).collect::<Option<Vec<_>>>();
        match (conditions, json.get("condition")) {
            ([], None) => {}
            ([], Some(json)) => self.fault(&format!("{at}: condition"), "none", &json.to_string()),
            (_, None) => self.fault(&format!("{at}: condition"), &conditions.join(" && "), "none"),
            (_, Some(json)) => {
                let all = translated.and_then(|all| all.into_iter().reduce(|all, each| format!("and({all}, {each})")));
                self.expression(all, json, &format!("{at}: condition"));
            }
        }
    }

    fn copy(&mut self, over: Option<&str>, json: &Json, scope: &Scope, at: &str, symbol: &str) {
        let at = format!("{at}: loop");
        match (over, json.get("copy")) {
            (None, None) => {}
            (Some(over), Some(json)) => {
                self.same(&at, &symbol, &string(&json["name"]));
                self.expression(scope.text(over).map(|over| format!("length({over})")), &json["count"], &at);
            }
            (over, json) => self.fault(&at, &format!("{over:?}"), &format!("{json:?}")),
        }
    }

    fn dependencies(&mut self, symbols: Option<&Value>, json: &Json, scope: &Scope, at: &str) {
        let Some(Value::List(symbols)) = symbols else { return };
        for symbol in symbols {
            let Value::Other(symbol) = symbol else { continue };
            match scope.dependency(symbol) {
                Some(expected) => {
                    let mut all = json["dependsOn"].as_array().into_iter().flatten();
                    let is_there = all.any(|each| *each == expected.as_str());
                    self.same(&format!("{at}: waits for {symbol}"), &true, &is_there);
                }
                None => self.findings.untranslated.push(format!("{at}: {symbol}")),
            }
        }
    }

    fn scope(&mut self, resource: &Resource, json: &Json, scope: &Scope, at: &str) {
        let at = format!("{at}: scope");
        match (resource.body.get("scope"), json.get("scope")) {
            (None, None) => {}
            (Some(own), Some(json)) => {
                let path = to_source(own);
                self.expression(scope.text(&format!("{path}.id")), json, &at);
            }
            (own, json) => self.fault(&at, &format!("{own:?}"), &format!("{json:?}")),
        }
    }

    fn value(&mut self, value: &Value, json: &Json, scope: &Scope, at: &str) {
        match (value, json) {
            (Value::Object(own), Json::Object(object)) => {
                // A name that is an expression is one in brackets.
                let name = |name: &str| match scope.key(name) {
                    Some(key) if name.starts_with('\'') => format!("[{key}]"),
                    _ => name.to_owned(),
                };
                let own: Vec<(String, &Value)> = own.iter().map(|(key, value)| (name(key), value)).collect();
                let names: BTreeSet<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
                let plain = object.keys().map(String::as_str).filter(|name| *name != "copy");
                let copies = object.get("copy").and_then(Json::as_array).into_iter().flatten();
                let copies = copies.filter_map(|copy| copy["name"].as_str());
                self.same_names(at, &names, &plain.chain(copies).collect());
                for (name, value) in &own {
                    let at = format!("{at}.{name}");
                    match property(json, name) {
                        Some(Property::Value(json)) => self.value(value, json, scope, &at),
                        Some(Property::Copy(json)) => self.each(value, json, scope, &at),
                        None => {}
                    }
                }
            }
            (Value::List(values), Json::Array(array)) => {
                self.same(&format!("{at}: length"), &values.len(), &array.len());
                for (place, (value, json)) in values.iter().zip(array).enumerate() {
                    self.value(value, json, scope, &format!("{at}[{place}]"));
                }
            }
            (_, Json::Null) if *value == Value::Other("null".to_owned()) => self.findings.equal += 1,
            (_, Json::String(_) | Json::Number(_) | Json::Bool(_)) => self.expression(scope.value(value), json, at),
            _ => self.fault(at, &to_source(value), &json.to_string()),
        }
    }

    /// Compares a loop in a value.
    fn each(&mut self, value: &Value, json: &Json, scope: &Scope, at: &str) {
        let Value::Each(element, over) = value else {
            return self.fault(at, &to_source(value), "a loop");
        };
        self.expression(scope.text(over).map(|over| format!("length({over})")), &json["count"], at);
        let index = format!("copyIndex('{}')", string(&json["name"]));
        self.value(element, &json["input"], &scope.in_loop(over, &index), at);
    }

    fn expression(&mut self, expected: Option<String>, json: &Json, at: &str) {
        match expected {
            Some(expected) if is_expression(json, &expected) => self.findings.equal += 1,
            Some(expected) => self.fault(at, &expected, &json.to_string()),
            None if string(json).starts_with('[') => self.findings.untranslated.push(at.to_owned()),
            None => self.fault(at, "an expression", &json.to_string()),
        }
    }

    fn same_names(&mut self, at: &str, own: &BTreeSet<&str>, compiled: &BTreeSet<&str>) {
        self.same(at, &own.difference(compiled).collect::<Vec<_>>(), &Vec::new());
        self.same(at, &Vec::new(), &compiled.difference(own).collect::<Vec<_>>());
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, at: &str, own: &T, compiled: &T) {
        if own == compiled {
            self.findings.equal += 1;
        } else {
            self.fault(at, &format!("{own:?}"), &format!("{compiled:?}"));
        }
    }

    fn fault(&mut self, at: &str, own: &str, compiled: &str) {
        let path = self.template.path.display();
        self.findings.faults.push(format!("{path}: {at}: the reader has {own}, the compiler {compiled}"));
    }
}

/// The prefix of the variables that have the content of a file.
const FILE: &str = "$fxv#";

/// The conditions and the loop of a resource, with those of the resources in which it is nested.
struct Effective {
    conditions: Vec<String>,
    over: Option<String>,
}

fn effective(scope: &Scope, resource: &Resource) -> Effective {
    let mut around = scope
        .around(resource)
        .map_or_else(|| Effective { conditions: Vec::new(), over: None }, |around| effective(scope, around));
    around.conditions.extend(resource.condition.clone());
    around.over = resource.loop_source.clone().or(around.over);
    around
}

/// Returns the expression of a module's argument that is a condition.
fn argument(value: &Value, scope: &Scope) -> Option<String> {
    match value {
        Value::Either(condition, values) => {
            let values = values.iter().map(|value| argument(value, scope)).collect::<Option<Vec<_>>>()?;
            Some(format!("if({}, {})", scope.text(condition)?, values.join(", ")))
        }
        value => Some(format!("createObject('value', {})", scope.value(value)?)),
    }
}
