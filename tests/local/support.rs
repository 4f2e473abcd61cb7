//! Runs `devicestate local` and reads what it reports and stores.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use devicestate_test_support::{dead_letter_schema::read_letter, program::devicestate};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A folder of a test's own: the state file, inputs, a function app. Gone with the test.
pub(crate) struct Place(TempDir);

/// A test leaves no handler behind, whatever it was about.
impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.until("no handler is left", |place| place.leftovers() == 0);
        }
    }
}

/// Documents by device, each without its versions.
pub(crate) type Documents = BTreeMap<String, Map<String, Value>>;

impl Place {
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

    /// The command, with this place's state file and a JSON report.
    pub(crate) fn local(&self, arguments: &[&str]) -> Command {
        self.reporting("json", arguments)
    }

    /// The same with a report of this format.
    pub(crate) fn reporting(&self, format: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(devicestate());
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["local", "--report", format, "--state"]);
        command.arg(self.state()).args(arguments);
        // What the machine's own settings say is not what is tested.
        for setting in ["StateStore", "SqlitePath", "InvocationBudget", "TelemetryFormat", "DeadLetterDirectory"] {
            command.env_remove(setting);
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
                let versions = document.remove("Versions");
                let id = document.remove("id").expect("a document has an id");
                let versions = versions.as_ref().and_then(Value::as_object).expect("a document has versions");
                assert!(
                    versions.keys().eq(document.keys()),
                    "each reading has a version: {id} {document:?} {versions:?}"
                );
                (id.as_str().expect("that is text").to_owned(), document)
            })
            .collect()
    }

    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        let rows = self.rows("SELECT text FROM dead_letters ORDER BY message_id");
        rows.iter().map(read_letter).collect()
    }

    /// What `devicestate dead-letters list` says of them.
    pub(crate) fn list_dead_letters(&self) -> Vec<Value> {
        let mut list = Command::new(devicestate());
        list.args(["dead-letters", "list", "--format", "json", "--state"]).arg(self.state());
        let output = list.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the binary runs");
        serde_json::from_slice(&output.stdout).expect("an array of JSON")
    }

    /// How many processes have this place in their environment.
    fn leftovers(&self) -> usize {
        let path = self.path("");
        let path = path.to_str().expect("a path of text").as_bytes();
        let processes = fs::read_dir("/proc").expect("Linux").flatten();
        let environments = processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
        environments.filter(|text| text.windows(path.len()).any(|part| part == path)).count()
    }

    fn rows(&self, query: &str) -> Vec<Vec<u8>> {
        let Ok(connection) = rusqlite::Connection::open(self.state()) else { return Vec::new() };
        connection.busy_timeout(Duration::from_secs(5)).expect("a timeout");
        // Before the first process has made the tables there is nothing to see.
        let Ok(mut statement) = connection.prepare(query) else { return Vec::new() };
        let rows = statement.query_map([], |row| match row.get_ref(0)? {
            rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
            _ => Ok(Vec::new()),
        });
        rows.expect("a query").collect::<Result<_, _>>().expect("rows")
    }

    /// Waits until something is so, by looking again and again, and fails the test when it never is.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < Duration::from_mins(1), "it never came to this: {what}");
            std::thread::yield_now();
        }
    }
}

/// The report of a run that ended with this exit code: JSON alone on standard output.
pub(crate) fn report(output: &Output, code: i32) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    serde_json::from_slice(&output.stdout).expect("the report is JSON and stands alone")
}

pub(crate) fn count(report: &Value, name: &str) -> u64 {
    let value = report["events"].get(name).or_else(|| report.get(name));
    value.and_then(Value::as_u64).unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// Applied, superseded, dead-lettered, lost and those in the sub-queue add up to received and repeated.
pub(crate) fn assert_adds_up(report: &Value) {
    let ended = ["applied", "superseded", "deadLettered", "lost", "inSubQueue"]
        .map(|name| count(report, name))
        .iter()
        .sum::<u64>();
    assert_eq!(ended, count(report, "received") + count(report, "repeated"), "{report}");
}

/// The oracle: the last present value of each field of each device, for events that hold positions and batteries.
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

/// Events as input: one a line.
pub(crate) fn lines(events: &[Value]) -> String {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

/// A function app in a folder of its own, from the shipped files, with millisecond retry intervals.
pub(crate) fn function_app(place: &Place, change: impl FnOnce(&mut Value, &mut Value)) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(root.join(name)).expect("a shipped file")).expect("JSON")
    };
    let (mut host, mut function) = (read("host.json"), read("RawTelemetryFunction/function.json"));
    function["retry"]["minimumInterval"] = "00:00:00.005".into();
    function["retry"]["maximumInterval"] = "00:00:00.020".into();
    change(&mut host, &mut function);
    place.write("app/host.json", host.to_string());
    place.write("app/RawTelemetryFunction/function.json", function.to_string());
    place.write(
        "app/SessionTelemetryFunction/function.json",
        read("SessionTelemetryFunction/function.json").to_string(),
    );
    place.write("app/local.settings.json", read("local.settings.json").to_string());
    place.path("app")
}

/// The handlers that a running `devicestate local` has started.
pub(crate) fn handlers(local: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", local.id())).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Battery readings of eleven devices in turn, each higher than the one before.
pub(crate) fn events(range: Range<u32>) -> Vec<Value> {
    range.map(|n| json!({ "deviceId": format!("d{}", n % 11), "battery": f64::from(n) / 1e5 })).collect()
}

/// Feeds a running `devicestate local` so many events in rounds, and in the middle of each kills every handler that it has.
/// Gives back what it said in the end.
pub(crate) fn kill_handlers(place: &Place, local: &mut Command, rounds: u32, of_each: u32) -> Output {
    let mut child = local.stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    for round in 0..rounds {
        let first = round * of_each;
        input.write_all(lines(&events(first..first + of_each)).as_bytes()).expect("it reads");
        place.until("some of this round is stored", |place| {
            let newest = f64::from(first) / 1e5;
            place.documents().values().any(|document| document["Battery"].as_f64() >= Some(newest))
        });
        for handler in handlers(&child) {
            signal("-KILL", handler);
        }
    }
    drop(input);
    child.wait_with_output().expect("it ends")
}

/// Sends a signal. False when there is no such process any more.
pub(crate) fn signal(name: &str, pid: u32) -> bool {
    let status = Command::new("sh").args(["-c", "kill $0 $1", name, &pid.to_string()]).stderr(Stdio::null()).status();
    status.expect("a shell").success()
}
