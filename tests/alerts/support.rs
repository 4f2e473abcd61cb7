//! Node.js with the parser of the queries, `devicestate local`, and the telemetry that it writes.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
};

use devicestate_test_support::{npm::install_packages, program::devicestate};
use serde_json::{Value, json};

/// The folder of this repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| install_packages("scripts/alerts"));

/// Where the parser is installed.
pub(crate) fn packages() -> PathBuf {
    PACKAGES.join("node_modules")
}

/// A program of Node.js, in the folder of this repository.
pub(crate) fn node(program: &str) -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", packages()).current_dir(ROOT).arg(program);
    node
}

/// The one process of `node.js`; it ends when this process does, which closes its standard input.
static NODE: LazyLock<Mutex<(Child, BufReader<ChildStdout>)>> = LazyLock::new(|| {
    let mut child = node("tests/alerts/node.js")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node.js (the command node)");
    let stdout = child.stdout.take().expect("a pipe");
    Mutex::new((child, BufReader::new(stdout)))
});

/// Asks `node.js` something.
///
/// # Errors
///
/// What it cannot answer, in its words.
pub(crate) fn ask(what: &str, question: &Value) -> Result<Value, String> {
    let mut line = String::new();
    {
        let mut node = NODE.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = node.0.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{}", json!([what, question])).expect("a reader");
        node.1.read_line(&mut line).expect("an answer");
    }
    let answer: Value = serde_json::from_str(&line).expect("an answer in JSON");
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer["answer"].clone()),
    }
}

/// The alerts and the names of the queries.
pub(crate) fn deployed() -> (Vec<Value>, Vec<String>) {
    let deployed = ask("deployed", &json!({})).expect("what is deployed");
    let queries = deployed["queries"].as_array().expect("names").iter();
    let queries = queries.map(|name| name.as_str().expect("a name").to_owned()).collect();
    (deployed["alerts"].as_array().expect("alerts").clone(), queries)
}

/// `scripts/alerts/check.js` over this file.
pub(crate) fn check(file: &Path, options: &[&str]) -> Output {
    node("scripts/alerts/check.js").arg(file).args(options).output().expect("Node.js")
}

/// The alerts that fire over these rows.
pub(crate) fn firing(rows: &[Value]) -> Vec<String> {
    let names = ask("firing", &json!({ "rows": rows })).expect("an answer");
    names.as_array().expect("names").iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// `devicestate local` with its state and telemetry in this folder.
pub(crate) fn local(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(devicestate());
    command.current_dir(ROOT).args(["local", "--output", "json", "--state"]).arg(folder.join("state.db"));
    command.arg("--telemetry").arg(folder.join("telemetry.jsonl")).args(arguments);
    for setting in ["StateStore", "SqlitePath", "InvocationBudget", "TelemetryFormat", "DeadLetterDirectory"] {
        command.env_remove(setting);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
