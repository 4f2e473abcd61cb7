//! `devicestate ui`: the live page of a state file that other processes write.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use devicestate_sqlite::{Database, OpenMode};
use devicestate_test_support::{EventStream, Framing, program::devicestate, request};
use serde_json::{Value, json};

use crate::support::{Workspace, events, lines, signal};

/// A running `devicestate ui` with its port and token.
struct Ui {
    process: Child,
    port: u16,
    token: String,
}

impl Ui {
    fn start(workspace: &Workspace) -> Self {
        let mut command = Command::new(devicestate());
        command.args(["ui", "--port", "0", "--state"]).arg(workspace.state()).current_dir(workspace.path(""));
        command.env("SilentAfter", "00:15:00");
        Self::start_command(command)
    }

    fn start_command(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut address = String::new();
        let output = process.stdout.as_mut().expect("a pipe");
        BufReader::new(output).read_line(&mut address).expect("a line");
        let address = address.trim_end().strip_prefix("http://127.0.0.1:").expect("an address of this machine");
        let (port, token) = address.split_once("/?token=").expect("a token");
        let (port, token) = (port.parse().expect("a port"), token.to_owned());
        Self { process, port, token }
    }

    /// Gets JSON with the token.
    fn get(&self, path: &str) -> Value {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("Authorization", authorization.as_str())];
        request(self.port, "GET", path, &headers, b"", Framing::Length).expect("an answer").json()
    }

    /// Ends the command by a signal and returns its exit code.
    fn end(mut self, name: &str) -> Option<i32> {
        assert!(signal(name, self.process.id()));
        self.process.wait().expect("it ends").code()
    }
}

fn ui_error(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(devicestate());
    command.arg("ui").args(arguments).env_remove("StateStore").env_remove("CosmosConnection__accountEndpoint");
    let output = command.output().expect("the binary runs");
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn the_page_shows_what_other_processes_write_into_the_state_file() {
    let workspace = Workspace::new();
    let first = workspace.write("first.jsonl", lines(&events(0..11)) + "no telemetry\n");
    let first = first.to_str().expect("text");
    workspace.run(&["--file", first]);
    // The handler that owns the file has ended, so that there is no write-ahead log when the page opens it.
    let ui = Ui::start(&workspace);
    let mut stream = EventStream::open(ui.port, &format!("/live/devices?token={}", ui.token)).expect("events");
    let snapshot = stream.expect("snapshot");
    assert_eq!((&snapshot["total"], &snapshot["devices"][1]["id"]), (&json!(11), &json!("d1")));
    assert_eq!(snapshot["devices"][1]["readings"], json!({"Battery": 0.000_01}));
    let letters = stream.expect("deadLetters");
    assert_eq!((&letters["total"], &letters["groups"][0]["count"]), (&json!(1), &json!(1)));
    let command = letters["groups"][0]["command"].as_str().expect("a command");
    assert!(command.contains(" dead-letters replay --issue '^"), "{command}");
    // The command runs as it is, also if the program is not on the path.
    let replay = Command::new("bash").args(["-c", command]).env("Telemetry", "drone").output().expect("bash");
    assert!(replay.status.success(), "{command}: {}", String::from_utf8_lossy(&replay.stderr));

    let second = workspace.write("second.jsonl", lines(&[json!({"deviceId": "d1", "battery": 0.5})]));
    workspace.run(&["--file", second.to_str().expect("text")]);
    let changes = stream.expect("changes");
    assert_eq!(
        (&changes["devices"][0]["id"], &changes["devices"][0]["readings"]["Battery"]),
        (&json!("d1"), &json!(0.5))
    );
    let device = ui.get("/live/device?id=d1");
    assert_eq!(device["readings"][0]["history"].as_array().map(Vec::len), Some(2), "{device}");
    let info = ui.get("/live/info");
    assert_eq!((&info["store"], &info["silentAfterMs"]), (&json!("sqlite"), &json!(900_000)), "{info}");
    assert_eq!(ui.end("-INT"), Some(0));
}

#[test]
fn a_page_that_cannot_start_says_why() {
    let workspace = Workspace::new();
    let missing = workspace.path("missing.db");
    let (code, error) = ui_error(&["--state", missing.to_str().expect("text")]);
    assert!(code == Some(2) && error.contains("missing.db"), "{error}");
    let (code, error) = ui_error(&[]);
    assert!(code == Some(2) && error.contains("StateStore") && error.contains("--state FILE"), "{error}");
    let (code, error) = ui_error(&["--store", "cosmos"]);
    assert!(code == Some(2) && error.contains("CosmosConnection"), "{error}");
    drop(Database::open(&workspace.state(), OpenMode::Create).expect("a state file"));
    let ui = Ui::start(&workspace);
    let state = workspace.state();
    let (code, error) = ui_error(&["--port", &ui.port.to_string(), "--state", state.to_str().expect("text")]);
    assert!(code == Some(2) && error.contains("--port 0"), "{error}");
    assert_eq!(ui.end("-TERM"), Some(0));
}

#[test]
fn the_read_api_of_a_page_over_cosmos_db_refuses_fields_that_are_not_indexed() {
    let mut command = Command::new(devicestate());
    command.args(["ui", "--port", "0", "--store", "cosmos"]).env("CosmosIndexedPaths", "/Heard/?");
    // It asks nothing of the account, and not one is at this address.
    command.env("CosmosConnection", "AccountEndpoint=https://127.0.0.1:1/;AccountKey=a2V5");
    let ui = Ui::start_command(command);
    let refused = ui.get("/api/devices?where=battery%3C0.2");
    let detail = refused["detail"].as_str().expect("text");
    assert!(refused["status"] == 400 && detail.contains("cosmosIndexedPaths"), "{refused}");
    assert_eq!(ui.end("-INT"), Some(0));
}
