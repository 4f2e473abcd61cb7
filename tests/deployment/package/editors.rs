//! The configuration of Core Tools, Visual Studio Code and the dev container: its names agree. Nothing is run.

use std::{collections::BTreeSet, fs};

use devicestate_test_support::{repository_file, root};
use serde_json::Value;

use super::command::{LICENCES, expected_files, functions, program_name};

fn strings(value: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().expect("text").to_owned();
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().map(one).collect(),
        value => vec![one(value)],
    }
}

fn funcignore() -> Vec<String> {
    let text = fs::read_to_string(root().join(".funcignore")).expect("a file of this repository");
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn tasks() -> Vec<Value> {
    repository_file(".vscode/tasks.json")["tasks"].as_array().expect("tasks").clone()
}

fn is_word(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Models .funcignore: a pattern matches the beginning of a path, up to a word boundary; `*` matches any name. A path that
/// matches an exception is published, independently of the order of the rules.
fn core_tools_publish(rules: &[String], path: &str) -> bool {
    let matches = |pattern: &str| match pattern.trim_start_matches('/') {
        "*" => path.split('/').next().is_some_and(|name| name.chars().any(|it| is_word(Some(it)))),
        pattern => path
            .strip_prefix(pattern)
            .is_some_and(|rest| is_word(pattern.chars().last()) != is_word(rest.chars().next())),
    };
    let exception = rules.iter().filter_map(|rule| rule.strip_prefix('!')).any(matches);
    exception || !rules.iter().filter(|rule| !rule.starts_with('!')).any(|rule| matches(rule))
}

#[test]
fn funcignore_excepts_only_the_files_of_the_package() {
    // In this form git, whose rules the editor uses, and Core Tools agree: everything at the top level is ignored, except these.
    let functions = functions().into_iter().map(|function| format!("!/{function}/"));
    let licences = LICENCES.map(|file| format!("!/{file}"));
    let others = ["/*".to_owned(), "!/host.json".to_owned(), format!("!/{}", program_name())];
    // The telemetry file and the schemas that it names, if there are any.
    let telemetry = ["!/telemetry.json", "!/schemas/"].map(str::to_owned);
    let expected: BTreeSet<String> = functions.chain(licences).chain(others).chain(telemetry).collect();
    let rules = funcignore();
    assert_eq!(rules[0], "/*", "for git, the last matching rule counts");
    assert_eq!(rules.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn core_tools_would_publish_the_files_of_the_package() {
    let rules = funcignore();
    let entries = fs::read_dir(root()).expect("the repository").map(|entry| entry.expect("an entry"));
    // The files of a top-level folder are treated alike.
    let entries = entries.map(|entry| {
        let name = entry.file_name().into_string().expect("text");
        let inside = if entry.path().join("function.json").is_file() { "function.json" } else { "file" };
        if entry.path().is_dir() { format!("{name}/{inside}") } else { name }
    });
    // The program exists only after a build.
    let published: BTreeSet<String> =
        entries.chain([program_name()]).filter(|path| core_tools_publish(&rules, path)).collect();
    assert_eq!(published, expected_files());
}

#[test]
fn each_task_that_another_file_names_exists() {
    let labels: Vec<String> = tasks().iter().flat_map(|task| strings(&task["label"])).collect();
    let launch = repository_file(".vscode/launch.json");
    let settings = repository_file(".vscode/settings.json");
    let started = launch["configurations"].as_array().expect("configurations").iter();
    let mut named: Vec<String> = started.flat_map(|it| strings(&it["preLaunchTask"])).collect();
    named.extend(tasks().iter().flat_map(|task| strings(&task["dependsOn"])));
    named.extend(strings(&settings["azureFunctions.preDeployTask"]));
    assert!(named.len() >= 5, "{named:?}");
    for name in named {
        assert!(labels.contains(&name), "the task {name} is missing");
    }
}

#[test]
fn each_file_that_a_command_names_exists() {
    let container = repository_file(".devcontainer/devcontainer.json");
    let commands = tasks().iter().flat_map(|task| strings(&task["command"])).collect::<Vec<_>>();
    let commands = [commands, strings(&container["postCreateCommand"])].concat().join(" ");
    let is_ours = |word: &&str| [".js", ".sh", ".yaml"].iter().any(|ending| word.ends_with(ending));
    let named: Vec<&str> = commands.split_whitespace().filter(is_ours).collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert!(root().join(name).is_file(), "the file {name} is missing");
    }
}

#[test]
fn the_editor_uses_the_names_of_host_json_and_the_package_script() {
    let launch = repository_file(".vscode/launch.json");
    let programs = launch["configurations"].as_array().expect("configurations").iter();
    let programs: Vec<String> = programs.flat_map(|it| strings(&it["program"])).collect();
    assert_eq!(programs, [format!("${{workspaceFolder}}/{}", program_name())]);
    let handler = tasks().into_iter().find(|task| task["label"] == "handler").expect("a task");
    let copies = format!("cp target/debug/{} .", program_name());
    assert!(strings(&handler["command"])[0].ends_with(&copies), "{handler}");
    let settings = repository_file(".vscode/settings.json");
    let script = fs::read_to_string(root().join("scripts/package.sh")).expect("a file of this repository");
    let published = settings["azureFunctions.deploySubpath"].as_str().expect("text");
    assert!(script.contains(&format!("[default: {published}]")), "{published}");
}

#[test]
fn the_dev_container_has_the_recommended_extensions_and_core_tools_after_4_2_1() {
    let container = repository_file(".devcontainer/devcontainer.json");
    let recommended = repository_file(".vscode/extensions.json");
    assert_eq!(container["customizations"]["vscode"]["extensions"], recommended["recommendations"]);
    let script = fs::read_to_string(root().join(".devcontainer/post-create.sh")).expect("a file of this repository");
    let version = script.split("azure-functions-core-tools@").nth(1).expect("a pinned version");
    let version: Vec<u32> = version.trim_end().lines().next().expect("a line").split('.').map(number).collect();
    assert!(version > vec![4, 2, 1], "{version:?}");
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}
