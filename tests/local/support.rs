//! Runs `devicestate local` and `devicestate drill`, and reads their reports and what they have stored.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use devicestate_test_support::{dead_letter_schema::read_dead_letter, program::devicestate, read_output};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A temporary folder of a test for the state file, inputs and a function app.
pub(crate) struct Workspace(TempDir);

/// Every test checks that no handler is left.
impl Drop for Workspace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.wait_until("no handler is left", |workspace| workspace.leftovers() == 0);
        }
    }
}

/// Documents by device id, without versions and without when the device was heard.
pub(crate) type Documents = BTreeMap<String, Map<String, Value>>;

impl Workspace {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
        path
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state.db")
    }

    /// Returns the command `devicestate local` with the state file of this folder and JSON output.
    pub(crate) fn local(&self, arguments: &[&str]) -> Command {
        self.command("local", "json", arguments)
    }

    /// Returns the command `devicestate drill` with the state file of this folder and JSON output.
    pub(crate) fn drill(&self, arguments: &[&str]) -> Command {
        self.command("drill", "json", arguments)
    }

    /// Returns a command with the state file of this folder and this output format.
    pub(crate) fn command(&self, name: &str, output: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(devicestate());
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args([name, "--output", output, "--state"]);
        command.arg(self.state()).args(arguments);
        // Settings of this machine must not affect the tests.
        for setting in
            ["StateStore", "SqlitePath", "InvocationBudget", "Telemetry", "TelemetryFormat", "DeadLetterDirectory"]
        {
            command.env_remove(setting);
        }
        // The files of the tests have the events of drones. Simulated devices need no setting.
        if arguments.contains(&"--file") {
            command.env("Telemetry", "drone");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end and expects success.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        report(&self.local(arguments).output().expect("the binary runs"), 0)
    }

    pub(crate) fn documents(&self) -> Documents {
        let rows = self.rows("SELECT document FROM documents");
        let documents = rows.iter().map(|text| serde_json::from_slice(text).expect("a document is a JSON object"));
        documents
            .map(|mut document: Map<String, Value>| {
                document.remove("Heard").expect("a document says when its device was heard");
                let versions = document.remove("Versions");
                let id = document.remove("id").expect("a document has an id");
                let versions = versions.as_ref().and_then(Value::as_object).expect("a document has versions");
                assert!(
                    versions.keys().filter(|name| *name != "Heard").eq(document.keys()),
                    "each reading has a version: {id} {document:?} {versions:?}"
                );
                document.remove("Heard");
                (id.as_str().expect("that is text").to_owned(), document)
            })
            .collect()
    }

    /// Returns the stored text of a document.
    pub(crate) fn stored(&self, device: &str) -> Option<String> {
        let texts =
            self.rows("SELECT document FROM documents").into_iter().filter_map(|text| String::from_utf8(text).ok());
        let id = format!("\"id\":\"{device}\"");
        texts.into_iter().find(|text| text.contains(&id))
    }

    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        let rows = self.rows("SELECT text FROM dead_letters ORDER BY message_id");
        rows.iter().map(read_dead_letter).collect()
    }

    /// Lists the dead letters with `devicestate dead-letters list`.
    pub(crate) fn list_dead_letters(&self) -> Vec<Value> {
        let mut list = Command::new(devicestate());
        list.args(["dead-letters", "list", "-o", "json", "--state"]).arg(self.state());
        let output = list.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the binary runs");
        read_output(&output.stdout, output.status.code()).as_array().expect("an array").clone()
    }

    /// Returns how many processes have this folder in their environment.
    pub(crate) fn leftovers(&self) -> usize {
        let path = self.path("");
        let path = path.to_str().expect("a path of text").as_bytes();
        let processes = fs::read_dir("/proc").expect("Linux").flatten();
        let environments = processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
        environments.filter(|text| text.windows(path.len()).any(|part| part == path)).count()
    }

    fn rows(&self, query: &str) -> Vec<Vec<u8>> {
        let Ok(connection) = rusqlite::Connection::open(self.state()) else { return Vec::new() };
        connection.busy_timeout(Duration::from_secs(5)).expect("a timeout");
        // The tables are missing until the first process has opened the file.
        let Ok(mut statement) = connection.prepare(query) else { return Vec::new() };
        let rows = statement.query_map([], |row| match row.get_ref(0)? {
            rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
            _ => Ok(Vec::new()),
        });
        rows.expect("a query").collect::<Result<_, _>>().expect("rows")
    }

    /// Waits until a condition holds; fails the test after a minute.
    pub(crate) fn wait_until(&self, condition: &str, mut holds: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < Duration::from_mins(1), "not reached within a minute: {condition}");
            std::thread::yield_now();
        }
    }
}

/// Checks the exit code and the output's schema, and returns the report.
#[track_caller]
pub(crate) fn report(output: &Output, code: i32) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    read_output(&output.stdout, output.status.code())
}

/// Returns a count of a report.
#[track_caller]
pub(crate) fn count(report: &Value, name: &str) -> u64 {
    let value = report["events"].get(name).or_else(|| report.get(name));
    value.and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} is missing in {report}"))
}

/// Checks that the counts of the results, and the unfinished events, add up to the received and repeated ones.
pub(crate) fn assert_adds_up(report: &Value) {
    let ended =
        ["applied", "superseded", "deadLettered", "unrecognized", "ignored", "lost", "inSubQueue", "unfinished"]
            .map(|name| count(report, name))
            .iter()
            .sum::<u64>();
    assert_eq!(ended, count(report, "received") + count(report, "repeated"), "{report}");
}

/// Returns the expected documents: the last value of each field of each device, for events with positions and batteries.
pub(crate) fn last_values(events: impl IntoIterator<Item = Value>) -> Documents {
    let mut documents = Documents::new();
    for event in events {
        let id = event["deviceId"].as_str().expect("the test's events have an id");
        let document = documents.entry(id.to_owned()).or_default();
        let position = event["position"].as_object().into_iter().flatten();
        for (name, value) in position.filter(|(_, value)| !value.is_null()) {
            let (first, rest) = name.split_at(1);
            document.insert(first.to_uppercase() + rest, value.clone());
        }
        if !event["battery"].is_null() {
            document.insert("Battery".into(), event["battery"].clone());
        }
    }
    documents
}

/// Returns the text of an input file with one event per line.
pub(crate) fn lines(events: &[Value]) -> String {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

/// Writes a function app from the shipped files into the workspace, with retry intervals of milliseconds and batches that do not
/// wait for a minimum.
pub(crate) fn function_app(workspace: &Workspace, change: impl FnOnce(&mut Value, &mut Value)) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(root.join(name)).expect("a shipped file")).expect("JSON")
    };
    let (mut host, mut function) = (read("host.json"), read("RawTelemetryFunction/function.json"));
    function["retry"]["minimumInterval"] = "00:00:00.005".into();
    function["retry"]["maximumInterval"] = "00:00:00.020".into();
    host["extensions"]["eventHubs"]["minEventBatchSize"] = 1.into();
    change(&mut host, &mut function);
    workspace.write("app/host.json", host.to_string());
    workspace.write("app/RawTelemetryFunction/function.json", function.to_string());
    workspace.write(
        "app/SessionTelemetryFunction/function.json",
        read("SessionTelemetryFunction/function.json").to_string(),
    );
    workspace.write("app/local.settings.json", read("local.settings.json").to_string());
    workspace.path("app")
}

/// Returns the process ids of the handlers of a running `devicestate local`.
pub(crate) fn handlers(local: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", local.id())).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Battery readings of eleven devices in turn, each higher than the previous one.
pub(crate) fn events(range: Range<u32>) -> Vec<Value> {
    range.map(|n| json!({ "deviceId": format!("d{}", n % 11), "battery": f64::from(n) / 1e5 })).collect()
}

/// Sends this many events to a running `devicestate local` in each round, and kills all handlers in the middle of each round.
/// Returns the output.
pub(crate) fn kill_handlers(workspace: &Workspace, local: &mut Command, rounds: u32, of_each: u32) -> Output {
    let mut child = local.stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    for round in 0..rounds {
        let first = round * of_each;
        input.write_all(lines(&events(first..first + of_each)).as_bytes()).expect("it reads");
        workspace.wait_until("an event of this round is stored", |workspace| {
            let newest = f64::from(first) / 1e5;
            workspace.documents().values().any(|document| document["Battery"].as_f64() >= Some(newest))
        });
        for handler in handlers(&child) {
            signal("-KILL", handler);
        }
    }
    drop(input);
    child.wait_with_output().expect("it ends")
}

/// Sends a signal. Returns false if the process does not exist.
pub(crate) fn signal(name: &str, pid: u32) -> bool {
    let status = Command::new("sh").args(["-c", "kill $0 $1", name, &pid.to_string()]).stderr(Stdio::null()).status();
    status.expect("a shell").success()
}
