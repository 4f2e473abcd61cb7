//! A stand-in for the Functions host's admin endpoint: accepts a text, invokes the real handler with it as a batch of one
//! event, retries failures, and logs.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use devicestate_test_support::{
    base64, free_port,
    http::{Framing, request},
    pause,
    program::devicestate,
    recording, retry_context, root,
};
use serde_json::{Value, json};

use super::azure::{Azure, MASTER_KEY};

/// Whether and how the host retries a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retries {
    /// As under the shipped retry policy.
    Yes,
    /// Without a retry policy: the request has no retry context.
    NoPolicy,
    /// The request has a retry context, but the host does not retry.
    Never,
}

/// A host with its handler. The threads end with the test process, the handler when this is dropped.
pub(super) struct Host {
    pub(super) url: String,
    handler: Child,
}

/// The host's invocations.
struct Invocations {
    handler_port: u16,
    key: Option<&'static str>,
    retry_mode: Retries,
    traces: Traces,
}

/// The logged lines, with their invocations.
#[derive(Clone)]
struct Traces {
    rows: Arc<Mutex<Vec<Value>>>,
    azure: Arc<Azure>,
}

impl Host {
    /// Starts a host on Azure, which requires its key. The fake `az` reads its logs.
    pub(super) fn start(azure: &Arc<Azure>, settings: &[(&str, &str)], retry_mode: Retries) -> Self {
        Self::with_key(Some(MASTER_KEY), azure, settings, retry_mode)
    }

    /// Starts a host like `func start`, without a key.
    pub(super) fn local(azure: &Arc<Azure>, settings: &[(&str, &str)]) -> Self {
        Self::with_key(None, azure, settings, Retries::Yes)
    }

    fn with_key(key: Option<&'static str>, azure: &Arc<Azure>, settings: &[(&str, &str)], retry_mode: Retries) -> Self {
        let traces = Traces { rows: Arc::default(), azure: Arc::clone(azure) };
        let handler_port = free_port();
        let handler = start_handler(handler_port, settings, &traces);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let invocations = Invocations { handler_port, key, retry_mode, traces };
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| invocations.handle(&stream)));
        Self { url, handler }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Either fails only when the process has already ended.
        let _ = self.handler.kill();
        let _ = self.handler.wait();
    }
}

impl Invocations {
    /// Accepts a request, responds immediately like the admin endpoint, and then invokes the handler.
    fn handle(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a request") > 0, "the request is incomplete: {head}");
        }
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let length = header("content-length").expect("a length").parse().expect("a number");
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body).expect("a body");
        let is_invocation = head.starts_with("POST /admin/functions/RawTelemetryFunction HTTP/1.1\r\n");
        let is_allowed = header("x-functions-key") == self.key;
        let status = if is_allowed && is_invocation { "202 Accepted" } else { "401 Unauthorized" };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("an open connection");
        if status.starts_with("202") {
            let body: Value = serde_json::from_str(&body).expect("JSON");
            self.invoke(body["input"].as_str().expect("a text"));
        }
    }

    fn invoke(&self, input: &str) {
        let mut envelope = recording("binary-many-admin-1").envelope();
        envelope["Data"]["messages"] = json!([base64(input)]).to_string().into();
        for retries in 0.. {
            // Each attempt has its own id here, while those of an Event Hubs batch share one.
            let id = uuid::Uuid::new_v4().to_string();
            if self.retry_mode != Retries::NoPolicy {
                envelope["Metadata"]["RetryContext"] = retry_context(retries, -1);
            }
            let headers = [("X-Azure-Functions-InvocationId", id.as_str()), ("Content-Type", "application/json")];
            let body = envelope.to_string();
            let path = "/RawTelemetryFunction";
            let response =
                request(self.handler_port, "POST", path, &headers, body.as_bytes(), Framing::Chunked(16_384));
            let response = response.expect("a response of the handler");
            if response.status == 200 {
                let reply = response.json();
                let logs = reply["Logs"].as_array().expect("logs").iter().map(|line| line.as_str().expect("text"));
                return logs.for_each(|line| self.traces.add(line, &id));
            }
            if self.retry_mode != Retries::Yes {
                return;
            }
        }
    }
}

impl Traces {
    fn add(&self, line: &str, invocation: &str) {
        let mut rows = self.rows.lock().expect("no panic");
        rows.push(json!({"Message": line, "Invocation": invocation, "TableName": "PrimaryResult"}));
        // Renamed, because the smoke test may be reading.
        self.azure.set("traces.unfinished", &json!(*rows).to_string());
        let renamed = std::fs::rename(self.azure.path("traces.unfinished"), self.azure.path("traces.json"));
        renamed.expect("a file in the temporary folder");
    }
}

fn start_handler(port: u16, settings: &[(&str, &str)], traces: &Traces) -> Child {
    let mut command = Command::new(devicestate());
    command.arg("serve").env_clear().envs(settings.iter().copied());
    command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
    command.env("FUNCTIONS_APP_ROOT_PATH", root());
    command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("a pipe")), Box::new(child.stderr.take().expect("a pipe"))];
    for stream in streams {
        let traces = traces.clone();
        // The host logs what the handler prints, line by line, outside any invocation.
        thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| traces.add(&line, ""));
        });
    }
    let started = Instant::now();
    while request(port, "GET", "/", &[], b"", Framing::Length).is_err() {
        assert!(child.try_wait().expect("a child").is_none(), "the handler ended: {:?}", traces.rows.lock());
        assert!(started.elapsed() < Duration::from_secs(30), "the handler was not ready in time");
        pause(Duration::from_millis(25));
    }
    child
}
