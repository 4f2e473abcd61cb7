//! The commands of steps, and their calls of this repository's scripts.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use devicestate_test_support::root;
use serde_json::Value;

/// Returns the text of a file of this repository.
pub(crate) fn file(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the paths of what is in a folder of this repository.
pub(crate) fn paths_in(folder: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    names.map(move |name| format!("{folder}/{name}"))
}

/// Returns all objects in a value, including itself.
pub(crate) fn objects(value: &Value) -> Vec<&serde_json::Map<String, Value>> {
    match value {
        Value::Object(members) => std::iter::once(members).chain(members.values().flat_map(objects)).collect(),
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

/// Returns the shell lines of the steps: of Azure Pipelines, of GitHub's workflows, and of azd's hooks.
pub(crate) fn commands(pipeline: &Value) -> Vec<String> {
    let scripts = objects(pipeline).into_iter().filter_map(|object| {
        let script = ["bash", "inlineScript", "run"].iter().find_map(|key| object.get(*key)?.as_str());
        script.map(str::to_owned)
    });
    scripts.flat_map(|script| script.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Returns the calls of this repository's scripts, with their options.
pub(crate) fn calls(commands: &[String]) -> Vec<(String, Vec<String>)> {
    let calls = commands.iter().filter_map(|command| {
        let mut words = command.split_whitespace().skip_while(|word| !is_script(word));
        let script = words.next()?.to_owned();
        Some((script, words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()))
    });
    calls.collect()
}

pub(crate) fn is_script(word: &str) -> bool {
    word.starts_with("scripts/") || word.starts_with(".ci/")
}

/// Returns the help of a script.
fn help(script: &str) -> String {
    let script = root().join(script);
    let output = Command::new(script).arg("--help").output().expect("a script of this repository");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the errors of the calls: missing or non-executable scripts, unknown options.
pub(crate) fn call_errors(calls: &[(String, Vec<String>)]) -> Vec<String> {
    let mut errors = Vec::new();
    for (script, options) in calls {
        let Ok(metadata) = fs::metadata(root().join(script)) else {
            errors.push(format!("{script} does not exist"));
            continue;
        };
        if metadata.permissions().mode() & 0o111 == 0 {
            errors.push(format!("{script} is not executable"));
        }
        if !options.is_empty() {
            let help = help(script);
            let unknown = options.iter().filter(|option| !help.contains(&format!("\n  {option} ")));
            errors.extend(unknown.map(|option| format!("{script} has no option {option}")));
        }
    }
    errors
}
