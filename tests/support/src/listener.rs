//! A Cosmos DB account for one test: `tests/cosmos-listener` as a child process, with its control API.

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
    program::{build_in, target},
};

/// A running account. It is killed when this is dropped, and also ends with the test process.
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

/// The counts of requests and responses since the start or the last reset.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    pub operations: BTreeMap<String, u64>,
    pub statuses: BTreeMap<String, u64>,
    pub request_units: f64,
}

impl Listener {
    /// Starts an account with an empty container.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts an account with these options.
    pub fn with(options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let (child, ready) = spawn(&options);
        Self { child, options, ready }
    }

    /// Returns the value of the setting `CosmosConnection` for this account.
    pub fn connection_string(&self) -> &str {
        &self.ready.connection_string
    }

    /// Returns the account's URL.
    pub fn endpoint(&self) -> &str {
        &self.ready.endpoint
    }

    /// Returns the account's key.
    pub fn key(&self) -> &str {
        &self.ready.key
    }

    /// Kills the account with its documents.
    pub fn kill(&mut self) {
        // Either fails only when the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the account after [`Listener::kill`] on the same port, empty.
    pub fn restart(&mut self) {
        let mut options = self.options.clone();
        if !options.iter().any(|option| option == "--port") {
            options.extend(["--port".to_owned(), port(&self.ready.endpoint).to_string()]);
        }
        (self.child, self.ready) = spawn(&options);
    }

    /// Returns the counts.
    pub fn counters(&self) -> Counters {
        let response = self.request("GET", "/counters", None);
        serde_json::from_slice(&response.body).expect("the counters")
    }

    /// Resets the counts to 0.
    pub fn reset_counters(&self) {
        self.request("POST", "/counters/reset", None);
    }

    /// Polls the counts until they meet a condition, and fails the test after 30 s.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_met: impl Fn(&Counters) -> bool) {
        let started = Instant::now();
        loop {
            let counters = self.counters();
            if is_met(&counters) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "timed out waiting for this: {what}: {counters:?}");
            wait_for_next_poll();
        }
    }

    /// Sets a fault. Returns its number for [`Listener::end`].
    pub fn fault(&self, Fault(fault): Fault) -> u64 {
        self.request("POST", "/faults", Some(&Value::Object(fault))).json()["number"].as_u64().expect("a number")
    }

    /// Ends the fault of this number.
    pub fn end(&self, number: u64) {
        self.request("DELETE", &format!("/faults/{number}"), None);
    }

    /// Returns how many requests each fault was applied to.
    pub fn fault_hits(&self) -> Vec<u64> {
        let faults = self.request("GET", "/faults", None).json();
        let faults = faults.as_array().expect("an array").iter();
        faults.map(|fault| fault["applied"].as_u64().expect("a number")).collect()
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.request("DELETE", "/faults", None);
    }

    /// Closes the data ports and cuts their connections.
    pub fn down(&self) {
        self.request("POST", "/down", None);
    }

    /// Opens the data ports again.
    pub fn up(&self) {
        self.request("POST", "/up", None);
    }

    /// Moves the write region.
    pub fn move_write_region(&self, region: &str) {
        self.request("POST", "/write-region", Some(&json!({ "region": region })));
    }

    /// Creates the container.
    pub fn create_container(&self) {
        self.request("PUT", "/container", None);
    }

    /// Deletes the container with its documents.
    pub fn delete_container(&self) {
        self.request("DELETE", "/container", None);
    }

    /// Returns all documents by id, without the properties that Cosmos DB adds.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        match self.request("GET", "/documents", None).json() {
            Value::Object(documents) => {
                documents.into_iter().map(|(id, document)| (id, without_system_properties(document))).collect()
            }
            other => panic!("not documents: {other}"),
        }
    }

    /// Creates or replaces a document.
    pub fn put(&self, document: &Value) {
        let id = document["id"].as_str().expect("a document has an id");
        self.request("PUT", &format!("/documents/{id}"), Some(document));
    }

    /// Deletes a document.
    pub fn delete(&self, id: &str) {
        self.request("DELETE", &format!("/documents/{id}"), None);
    }

    #[track_caller]
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let response = request(port(&self.ready.control), method, path, &[], body.as_bytes(), Framing::Length);
        let response = response.expect("a response of the control port");
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
    /// Returns the count of requests of these kinds.
    pub fn count(&self, kinds: &[&str]) -> u64 {
        kinds.iter().map(|kind| self.operations[*kind]).sum()
    }

    /// Returns the count of reads of single documents.
    pub fn reads(&self) -> u64 {
        self.count(&["read"])
    }

    /// Returns the count of writes, successful or not.
    pub fn writes(&self) -> u64 {
        self.count(&["create", "replace", "upsert", "patch", "delete", "batch"])
    }

    /// Returns the count of all requests.
    pub fn requests(&self) -> u64 {
        self.operations.values().sum()
    }

    /// Returns the count of responses with this status.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status.to_string()).copied().unwrap_or_default()
    }
}

/// A fault that is applied to some requests.
#[derive(Debug, Clone)]
pub struct Fault(Map<String, Value>);

impl Fault {
    /// Responds with this status, without executing the request.
    pub fn status(status: u16) -> Self {
        Self::new("status").with("status", status)
    }

    /// Executes the request and drops the response.
    pub fn drop_response() -> Self {
        Self::new("drop-response")
    }

    /// Closes the connection, without executing the request.
    pub fn disconnect() -> Self {
        Self::new("disconnect")
    }

    /// Executes the request after this delay.
    pub fn delay(delay: Duration) -> Self {
        Self::new("delay").with("delayMs", milliseconds(delay))
    }

    fn new(kind: &str) -> Self {
        Self(Map::new()).with("kind", kind)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the sub-status.
    pub fn sub_status(self, sub_status: u16) -> Self {
        self.with("subStatus", sub_status)
    }

    /// Responds with this status instead of dropping the response.
    pub fn answering(self, status: u16) -> Self {
        self.with("status", status)
    }

    /// Sets the delay after which the client is asked to retry.
    pub fn retry_after(self, delay: Duration) -> Self {
        self.with("retryAfterMs", milliseconds(delay))
    }

    /// Sets the request charge of the response.
    pub fn request_charge(self, units: f64) -> Self {
        self.with("requestCharge", units)
    }

    /// Limits the fault to requests of these kinds; the default is all requests about documents.
    pub fn on(self, operations: &[&str]) -> Self {
        self.with("operations", operations)
    }

    /// Limits the fault to requests about this document.
    pub fn id(self, id: &str) -> Self {
        self.with("ids", [id].as_slice())
    }

    /// Skips this many requests first.
    pub fn skip(self, requests: u64) -> Self {
        self.with("skip", requests)
    }

    /// Limits the fault to this many requests.
    pub fn next(self, requests: u64) -> Self {
        self.with("next", requests)
    }

    /// Limits the fault to this time, from now.
    pub fn lasting(self, time: Duration) -> Self {
        self.with("forMs", milliseconds(time))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a short time")
}

fn without_system_properties(mut document: Value) -> Value {
    document.as_object_mut().expect("an object").retain(|name, _| !name.starts_with('_'));
    document
}

/// Returns the port of a URL such as `http://127.0.0.1:8081/`.
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

/// Returns the path of the account's program, and builds it once. Cargo's lock orders concurrent builds of other test
/// processes.
pub fn program() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // A workspace of its own, so that its features are not the product's.
        build_in(&target().join("cosmos-listener"), &["--manifest-path", "tests/cosmos-listener/Cargo.toml"])
    })
}

/// Waits for the interval between two polls of another process.
#[expect(clippy::disallowed_methods, reason = "another process works in real time")]
fn wait_for_next_poll() {
    thread::sleep(Duration::from_millis(5));
}
