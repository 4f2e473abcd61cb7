//! A Cosmos DB account for one test: `tests/cosmos-listener` as a child process, and what its control port can do.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    http::{Framing, Response, request},
    program::{built_in, target},
};

/// A running account. It is killed when this is dropped, and ends with the process of the tests in any case.
pub struct Listener {
    child: Child,
    options: Vec<String>,
    ready: Ready,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    endpoint: String,
    control: String,
    key: String,
    connection_string: String,
}

/// What arrived and what was answered since the start or the last reset.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    pub operations: BTreeMap<String, u64>,
    pub statuses: BTreeMap<String, u64>,
    pub request_units: f64,
}

impl Listener {
    /// An account with an empty container.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// An account with these options.
    pub fn with(options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let (child, ready) = spawn(&options);
        Self { child, options, ready }
    }

    /// What a person would put into the setting `CosmosConnection`.
    pub fn connection_string(&self) -> &str {
        &self.ready.connection_string
    }

    /// The account's address.
    pub fn endpoint(&self) -> &str {
        &self.ready.endpoint
    }

    /// The account's key.
    pub fn key(&self) -> &str {
        &self.ready.key
    }

    /// Kills the account, with all that was in it.
    pub fn kill(&mut self) {
        // Either fails only when the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the account again after [`Listener::kill`], empty, where it was before.
    pub fn start_again(&mut self) {
        let mut options = self.options.clone();
        if !options.iter().any(|option| option == "--port") {
            options.extend(["--port".to_owned(), port(&self.ready.endpoint).to_string()]);
        }
        (self.child, self.ready) = spawn(&options);
    }

    /// The counts.
    pub fn counters(&self) -> Counters {
        let response = self.ask("GET", "/counters", None);
        serde_json::from_slice(&response.body).expect("the counters")
    }

    /// Begins to count anew.
    pub fn reset_counters(&self) {
        self.ask("POST", "/counters/reset", None);
    }

    /// Waits until the counts are so, by looking again and again, and fails the test when they never are.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&Counters) -> bool) {
        let started = Instant::now();
        loop {
            let counters = self.counters();
            if is_so(&counters) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "it never came to this: {what}: {counters:?}");
            look_again();
        }
    }

    /// Sets a fault; its number is for [`Listener::end`].
    pub fn fault(&self, Fault(fault): Fault) -> u64 {
        self.ask("POST", "/faults", Some(&Value::Object(fault))).json()["number"].as_u64().expect("a number")
    }

    /// Ends the fault of this number.
    pub fn end(&self, number: u64) {
        self.ask("DELETE", &format!("/faults/{number}"), None);
    }

    /// How many requests each fault has befallen.
    pub fn fault_hits(&self) -> Vec<u64> {
        let faults = self.ask("GET", "/faults", None).json();
        let faults = faults.as_array().expect("an array").iter();
        faults.map(|fault| fault["applied"].as_u64().expect("a number")).collect()
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.ask("DELETE", "/faults", None);
    }

    /// Closes the data ports and cuts their connections.
    pub fn down(&self) {
        self.ask("POST", "/down", None);
    }

    /// Opens the data ports again.
    pub fn up(&self) {
        self.ask("POST", "/up", None);
    }

    /// Moves the write region.
    pub fn move_write_region(&self, region: &str) {
        self.ask("POST", "/write-region", Some(&json!({ "region": region })));
    }

    /// Makes the container.
    pub fn create_container(&self) {
        self.ask("PUT", "/container", None);
    }

    /// Removes the container with all that is in it.
    pub fn delete_container(&self) {
        self.ask("DELETE", "/container", None);
    }

    /// All documents by their id, without what Cosmos DB adds to them.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        match self.ask("GET", "/documents", None).json() {
            Value::Object(documents) => documents.into_iter().map(|(id, document)| (id, stripped(document))).collect(),
            other => panic!("no documents: {other}"),
        }
    }

    /// Puts a document there, whatever there was.
    pub fn put(&self, document: &Value) {
        let id = document["id"].as_str().expect("a document has an id");
        self.ask("PUT", &format!("/documents/{id}"), Some(document));
    }

    /// Removes a document, whatever it is.
    pub fn delete(&self, id: &str) {
        self.ask("DELETE", &format!("/documents/{id}"), None);
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let response = request(port(&self.ready.control), method, path, &[], body.as_bytes(), Framing::Length);
        let response = response.expect("an answer of the control port");
        let text = String::from_utf8_lossy(&response.body);
        assert!((200..300).contains(&response.status), "{method} {path}: {} {text}", response.status);
        response
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Counters {
    /// How many requests of these kinds arrived.
    pub fn count(&self, kinds: &[&str]) -> u64 {
        kinds.iter().map(|kind| self.operations[*kind]).sum()
    }

    /// How many documents were read, one by one.
    pub fn reads(&self) -> u64 {
        self.count(&["read"])
    }

    /// How many documents were written, or tried to be.
    pub fn writes(&self) -> u64 {
        self.count(&["create", "replace", "upsert", "patch", "delete", "batch"])
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.operations.values().sum()
    }

    /// How often this was answered.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status.to_string()).copied().unwrap_or_default()
    }
}

/// What befalls some requests.
#[derive(Debug, Clone)]
pub struct Fault(Map<String, Value>);

impl Fault {
    /// They are answered this status and not executed.
    pub fn status(status: u16) -> Self {
        Self::of("status").with("status", status)
    }

    /// They are executed, and the answer is lost.
    pub fn lose_answer() -> Self {
        Self::of("lose-answer")
    }

    /// Their connection is cut, and they are not executed.
    pub fn cut() -> Self {
        Self::of("cut")
    }

    /// They are executed so much later.
    pub fn delay(delay: Duration) -> Self {
        Self::of("delay").with("delayMs", milliseconds(delay))
    }

    fn of(kind: &str) -> Self {
        Self(Map::new()).with("kind", kind)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The status's sub-status.
    pub fn sub_status(self, sub_status: u16) -> Self {
        self.with("subStatus", sub_status)
    }

    /// And the answer is this status instead of none.
    pub fn answering(self, status: u16) -> Self {
        self.with("status", status)
    }

    /// How long the client is asked to wait.
    pub fn retry_after(self, delay: Duration) -> Self {
        self.with("retryAfterMs", milliseconds(delay))
    }

    /// What the answer costs.
    pub fn request_charge(self, units: f64) -> Self {
        self.with("requestCharge", units)
    }

    /// Only requests of these kinds; without it, all that are about documents.
    pub fn on(self, operations: &[&str]) -> Self {
        self.with("operations", operations)
    }

    /// Only requests about this document.
    pub fn id(self, id: &str) -> Self {
        self.with("ids", [id].as_slice())
    }

    /// Not the first so many.
    pub fn skip(self, requests: u64) -> Self {
        self.with("skip", requests)
    }

    /// Only so many.
    pub fn next(self, requests: u64) -> Self {
        self.with("next", requests)
    }

    /// For so long, from now on.
    pub fn lasting(self, time: Duration) -> Self {
        self.with("forMs", milliseconds(time))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a short time")
}

fn stripped(mut document: Value) -> Value {
    document.as_object_mut().expect("an object").retain(|name, _| !name.starts_with('_'));
    document
}

/// The port of an address such as `http://127.0.0.1:8081/`.
fn port(address: &str) -> u16 {
    let port = address.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("no port in {address}"))
}

fn spawn(options: &[String]) -> (Child, Ready) {
    let mut command = Command::new(program());
    command.args(options).arg("--with-stdin").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the listener starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its standard output");
    let ready =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the listener is not ready: {error}: {line}"));
    (child, ready)
}

/// The account's program, built once. Other processes of tests may be at it, too: Cargo lets one after the other.
pub fn program() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // A workspace of its own, so that its features are not the product's.
        built_in(&target().join("cosmos-listener"), &["--manifest-path", "tests/cosmos-listener/Cargo.toml"])
    })
}

/// The interval between two looks at another process.
#[expect(clippy::disallowed_methods, reason = "another process gets somewhere in real time")]
fn look_again() {
    thread::sleep(Duration::from_millis(5));
}
