//! Runs scripts/alerts in Node.js, and `devicestate local`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
};

use devicestate_test_support::{npm::install_packages, program::devicestate};
use serde_json::{Value, json};

/// The root folder of this repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| install_packages("scripts/alerts"));

/// Returns the folder of the installed parser.
pub(crate) fn packages() -> PathBuf {
    PACKAGES.join("node_modules")
}

/// Returns the command that runs a Node.js program in this repository.
pub(crate) fn node(program: &str) -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", packages()).current_dir(ROOT).arg(program);
    node
}

/// The shared process of `node.js`. It ends with this process, which closes its standard input.
static NODE: LazyLock<Mutex<(Child, BufReader<ChildStdout>)>> = LazyLock::new(|| {
    let mut child = node("tests/alerts/node.js")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node.js (the command node)");
    let stdout = child.stdout.take().expect("a pipe");
    Mutex::new((child, BufReader::new(stdout)))
});

/// Calls a function of `node.js`.
///
/// # Errors
///
/// The message of the function's error.
pub(crate) fn call(name: &str, argument: &Value) -> Result<Value, String> {
    let mut line = String::new();
    {
        let mut node = NODE.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = node.0.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{}", json!([name, argument])).expect("the process reads");
        node.1.read_line(&mut line).expect("a response");
    }
    let response: Value = serde_json::from_str(&line).expect("a JSON response");
    match response.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(response["result"].clone()),
    }
}

/// Returns the deployed alerts and the names of the queries.
pub(crate) fn deployed() -> (Vec<Value>, Vec<String>) {
    let deployed = call("deployed", &json!({})).expect("what is deployed");
    let queries = deployed["queries"].as_array().expect("names").iter();
    let queries = queries.map(|name| name.as_str().expect("a name").to_owned()).collect();
    (deployed["alerts"].as_array().expect("alerts").clone(), queries)
}

/// Runs `scripts/alerts/check.js` on a file.
pub(crate) fn check(file: &Path, options: &[&str]) -> Output {
    node("scripts/alerts/check.js").arg(file).args(options).output().expect("Node.js")
}

/// Returns the alerts that fire over these rows.
pub(crate) fn firing(rows: &[Value]) -> Vec<String> {
    let names = call("firing", &json!({ "rows": rows })).expect("an answer");
    names.as_array().expect("names").iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// Returns the command `devicestate local` with state and telemetry in this folder.
pub(crate) fn local(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(devicestate());
    command.current_dir(ROOT).args(["local", "--output", "json", "--state"]).arg(folder.join("state.db"));
    command.arg("--telemetry").arg(folder.join("telemetry.jsonl")).args(arguments);
    for setting in
        ["StateStore", "SqlitePath", "InvocationBudget", "Telemetry", "TelemetryFormat", "DeadLetterDirectory"]
    {
        command.env_remove(setting);
    }
    // The events of files are those of drones, too.
    command.env("Telemetry", "drone");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
