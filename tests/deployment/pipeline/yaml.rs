//! Evaluates `azure-pipelines.yml` like Azure Pipelines: inserts templates and evaluates expressions. An unsupported expression
//! fails the tests.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::LazyLock,
};

use devicestate_test_support::{npm::install_packages, root};
use serde_json::{Map, Value};

/// Parameters of the pipeline, or of a template.
type Parameters = BTreeMap<String, String>;

/// The pipeline's file.
pub(crate) const PIPELINE: &str = "azure-pipelines.yml";

/// The value of the parameter `packageOfRun` without a rollback.
pub(crate) const THIS: &str = "this";

static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| install_packages("tests/deployment/node"));

/// Returns the command that runs a Node.js program of this folder.
fn node(program: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(root().join("tests/deployment/node").join(program));
    node.env("NODE_PATH", PACKAGES.join("node_modules"));
    node
}

/// Runs a Node.js program of this folder with JSON on its standard input, and returns the JSON on its standard output.
pub(crate) fn run_node(program: &str, arguments: &[&str], input: &Value) -> Value {
    let mut node = node(program);
    let mut child = node.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Node.js");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.to_string().as_bytes()).expect("the child reads");
    drop(stdin);
    let output = child.wait_with_output().expect("a child");
    assert!(output.status.success(), "{program} fails");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Reads a YAML or JSON file of this repository.
pub(crate) fn read(path: &str) -> Value {
    let output = node("read.js").arg(root().join(path)).output().expect("Node.js");
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns the pipeline with this value of its parameter.
pub(crate) fn pipeline(package_of_run: &str) -> Value {
    let mut pipeline = read(PIPELINE);
    let declared = pipeline.as_object_mut().expect("an object").remove("parameters").expect("parameters");
    expanded(pipeline, &parameters(&declared, &Map::from_iter([("packageOfRun".into(), package_of_run.into())])))
}

/// Returns the values of the declared parameters: the given ones, and defaults for the others.
fn parameters(declared: &Value, given: &Map<String, Value>) -> Parameters {
    let declared = declared.as_array().expect("a list of parameters");
    let values: Parameters = declared
        .iter()
        .map(|parameter| {
            let name = parameter["name"].as_str().expect("a name");
            let value = given.get(name).unwrap_or(&parameter["default"]).as_str();
            (name.to_owned(), value.unwrap_or_else(|| panic!("the parameter {name} has no value")).to_owned())
        })
        .collect();
    assert!(given.keys().all(|name| values.contains_key(name)), "unknown parameters: {given:?}");
    values
}

fn expanded(value: Value, parameters: &Parameters) -> Value {
    match value {
        Value::String(text) => substituted(&text, parameters).into(),
        // Azure Pipelines and its schema treat numbers as text.
        Value::Number(number) => number.to_string().into(),
        Value::Array(items) => items.into_iter().flat_map(|item| items_of(item, parameters)).collect(),
        Value::Object(members) => {
            let mut all = Map::new();
            for (name, value) in members {
                match condition(&name, parameters) {
                    None => drop(all.insert(name, expanded(value, parameters))),
                    Some(false) => {}
                    Some(true) => match expanded(value, parameters) {
                        Value::Object(members) => all.extend(members),
                        other => panic!("not an object: {other}"),
                    },
                }
            }
            all.into()
        }
        other => other,
    }
}

/// Expands an item of a sequence: the item itself, or the items of a condition or a template.
fn items_of(item: Value, parameters: &Parameters) -> Vec<Value> {
    let only_member = item.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
    if let Some(is_met) = only_member.and_then(|(name, _)| condition(name, parameters)) {
        let items = only_member.map(|(_, items)| items.clone()).expect("an item");
        return if is_met { sequence(expanded(items, parameters)) } else { Vec::new() };
    }
    match expanded(item, parameters) {
        Value::Object(members) if members.contains_key("template") => {
            let mut template = read(members["template"].as_str().expect("a path"));
            let given = members.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
            let declared = template.as_object_mut().expect("an object").remove("parameters");
            let parameters = self::parameters(&declared.unwrap_or_else(|| Value::Array(Vec::new())), &given);
            let (_, items) = template.as_object().expect("an object").iter().next().expect("jobs or steps");
            sequence(expanded(items.clone(), &parameters))
        }
        other => vec![other],
    }
}

fn sequence(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => panic!("not a sequence: {other}"),
    }
}

/// Evaluates a key that is a condition; `None` for any other key.
fn condition(key: &str, parameters: &Parameters) -> Option<bool> {
    let condition = key.strip_prefix("${{ if ")?.strip_suffix(") }}").expect("one condition");
    let (function, arguments) = condition.split_once("(parameters.").expect("a comparison with a parameter");
    let (name, value) = arguments.split_once(", ").expect("two arguments");
    let is_equal = parameters[name] == value.trim_matches('\'');
    match function {
        "eq" => Some(is_equal),
        "ne" => Some(!is_equal),
        other => panic!("the condition {other} is not supported"),
    }
}

fn substituted(text: &str, parameters: &Parameters) -> String {
    let mut parts = text.split("${{ parameters.");
    let first = parts.next().expect("a string has a first part").to_owned();
    let text = parts.fold(first, |text, part| {
        let (name, rest) = part.split_once(" }}").expect("a parameter's name");
        let value = parameters.get(name).unwrap_or_else(|| panic!("the parameter {name} does not exist"));
        text + value + rest
    });
    assert!(!text.contains("${{"), "the expression is not supported: {text}");
    text
}
