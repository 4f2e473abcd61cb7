//! `devicestate local --listen`: events by HTTP until a signal.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Output},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
};

use devicestate_test_support::{
    Framing, Response,
    http::{connect, read_response},
    request,
};
use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, function_app, handlers, lines, report, signal};

const BATCH: (&str, &str) = ("Content-Type", "application/vnd.microsoft.servicebus.json");

/// A run that takes events.
pub(crate) struct Listening {
    child: Child,
    /// What it printed about its addresses.
    pub(crate) printed: Vec<String>,
    errors: thread::JoinHandle<String>,
    port: u16,
    path: String,
}

impl Listening {
    /// Starts a run and waits for its addresses.
    pub(crate) fn start(mut local: Command) -> Self {
        let mut child = local.spawn().expect("the binary runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut printed = Vec::new();
        while printed.last().is_none_or(|line: &String| !line.contains("Ctrl-C ends the run")) {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it ended: {printed:?}");
            printed.push(line.trim_end().trim_start_matches("devicestate: ").to_owned());
        }
        let errors = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text).expect("text")
        });
        let address = printed.iter().find_map(|line| line.split("http://127.0.0.1:").nth(1)).expect("an address");
        let address = address.split(' ').next().expect("an address");
        let (port, path) = address.split_once('/').expect("a path");
        Self { port: port.parse().expect("a port"), path: format!("/{path}"), child, printed, errors }
    }

    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &str) -> Response {
        self.request("POST", &self.path, headers, body)
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        request(self.port, method, path, headers, body.as_bytes(), Framing::Length).expect("an answer")
    }

    /// Sends a battery reading of a device, and returns the status of the answer; `None` if there is none.
    fn send(&self, device: &str, battery: u32) -> Option<u16> {
        let properties = json!({ "PartitionKey": device }).to_string();
        let body = json!({ "deviceId": device, "battery": battery }).to_string();
        let headers = [("BrokerProperties", &*properties)];
        request(self.port, "POST", &self.path, &headers, body.as_bytes(), Framing::Length)
            .ok()
            .map(|answer| answer.status)
    }

    /// Sends a signal, and returns the report of the end with this exit code.
    pub(crate) fn end(self, name: &str, code: i32) -> Value {
        signal(name, self.child.id());
        let Output { status, stdout, .. } = self.child.wait_with_output().expect("it ends");
        let stderr = self.errors.join().expect("text").into_bytes();
        report(&Output { status, stdout, stderr }, code)
    }
}

/// Returns a run of the shipped app that takes events in any JSON.
fn listening(workspace: &Workspace, arguments: &[&str]) -> Listening {
    let root = function_app(workspace, |_, _| {});
    let mut local = workspace.local(arguments);
    local.args(["--listen", "0", "--app-root"]).arg(root).env_remove("TelemetryFile");
    Listening::start(local)
}

fn battery(workspace: &Workspace, device: &str) -> Option<Value> {
    workspace.documents().get(device)?.get("battery").cloned()
}

#[test]
fn events_by_http_become_documents_until_a_signal_ends_the_run() {
    let workspace = Workspace::new();
    let run = listening(&workspace, &[]);
    for n in 0..20 {
        assert_eq!(run.send(&format!("d{}", n % 2), n), Some(201));
    }
    let batch: Vec<_> = (0..30)
        .map(|n| json!({ "Body": json!({ "deviceId": format!("b{}", n % 10), "battery": n }).to_string() }))
        .collect();
    assert_eq!(run.post(&[BATCH], &json!(batch).to_string()).status, 201);
    // The run has no end of its own.
    workspace.wait_until("the events are stored", |workspace| workspace.documents().len() == 12);
    let report = run.end("-TERM", 0);
    assert_eq!((&report["input"], &report["interrupted"]), (&json!({ "source": "http" }), &false.into()));
    assert_eq!((count(&report, "received"), count(&report, "receivedByHttp"), count(&report, "devices")), (50, 50, 12));
    assert_adds_up(&report);
    // Events with one partition key stay in order.
    let last: Vec<_> = ["d0", "d1"].into_iter().filter_map(|device| battery(&workspace, device)).collect();
    assert_eq!(last, [18, 19]);
}

#[test]
fn the_printed_curl_command_sends_an_event() {
    for (options, hub) in [(&[][..], "telemetry"), (&["--sessions"], "sessions")] {
        let workspace = Workspace::new();
        let run = listening(&workspace, options);
        let curl = run.printed.iter().find(|line| line.trim().starts_with("curl ")).expect("a command");
        assert!(curl.contains(&format!("/{hub}/messages")), "{curl}");
        let output =
            Command::new("sh").args(["-c", &format!("{curl} -sS -w '%{{http_code}}'")]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "201", "{output:?}");
        let report = run.end("-INT", 0);
        assert_eq!((count(&report, "received"), count(&report, "applied")), (1, 1), "{report}");
        assert_eq!(battery(&workspace, "sensor-1"), Some(0.8.into()));
    }
}

#[test]
fn a_request_that_is_not_an_event_is_refused_with_words() {
    let workspace = Workspace::new();
    let run = listening(&workspace, &[]);
    let event = r#"{"deviceId":"d","battery":1}"#;
    for (status, method, path, header, words) in [
        (403, "POST", "/telemetry/messages", ("Origin", "https://evil.example"), "another page"),
        (403, "POST", "/telemetry/messages", ("Origin", "null"), "another page"),
        (403, "POST", "/telemetry/messages", ("Host", "evil.example"), "not the address of this server"),
        (404, "POST", "/other/messages", ("x", "y"), "POST /telemetry/messages"),
        (404, "POST", "/", ("x", "y"), "POST /telemetry/messages"),
        (404, "POST", "/telemetry/partitions/4/messages", ("x", "y"), "the hub has 0 to 3"),
        (404, "POST", "/telemetry/partitions/%2e%2e/messages", ("x", "y"), "the hub has 0 to 3"),
        (405, "GET", "/telemetry/messages", ("x", "y"), "sent with POST"),
        (405, "DELETE", "/telemetry/partitions/0/messages", ("x", "y"), "sent with POST"),
        (400, "POST", "/telemetry/messages", ("BrokerProperties", "PartitionKey=d"), "BrokerProperties is invalid"),
        (400, "POST", "/telemetry/messages", BATCH, "the batch is invalid"),
    ] {
        let answer = run.request(method, path, &[header], event);
        let body = String::from_utf8_lossy(&answer.body);
        assert!(answer.status == status && body.contains(words), "{path} {header:?} {} {body}", answer.status);
    }
    // Larger than the service accepts, whether it says so or not.
    let large = "x".repeat((1 << 20) + 1);
    let chunked = request(run.port, "POST", &run.path, &[], large.as_bytes(), Framing::Chunked(100_000));
    // The connection may be closed before everything was sent.
    assert!(chunked.is_ok_and(|answer| answer.status == 413) || run.send("d", 0) == Some(201));
    let mut connection = connect(run.port).expect("it listens");
    let head =
        format!("POST {} HTTP/1.1\r\nHost: LOCALHOST:{}\r\nContent-Length: 9999999999\r\n\r\n", run.path, run.port);
    std::io::Write::write_all(&mut connection, head.as_bytes()).expect("it reads");
    assert_eq!(read_response(&mut BufReader::new(connection)).expect("an answer").status, 413);

    assert_eq!(run.send("d", 1), Some(201));
    let report = run.end("-INT", 0);
    assert!(count(&report, "received") <= 2, "{report}");
    assert_eq!(battery(&workspace, "d"), Some(1.into()));
}

#[test]
fn headers_are_properties_of_a_dead_letter_and_secrets_are_not() {
    let workspace = Workspace::new();
    let run = listening(&workspace, &[]);
    let headers = [
        ("Authorization", "SharedAccessSignature SECRET"),
        ("Cookie", "SECRET"),
        ("x-functions-key", "visible"),
        ("Hostile", "\u{1}"),
        ("Alert", "Strong \u{202e} Wind"),
    ];
    // A control character is not HTTP.
    assert_eq!(run.post(&headers, "{").status, 400);
    let headers = headers.iter().filter(|(name, _)| !["Hostile", "x-functions-key"].contains(name)).copied();
    assert_eq!(run.post(&headers.collect::<Vec<_>>(), "{").status, 201);
    // Not one event is stored.
    let report = run.end("-INT", 1);
    assert_eq!((count(&report, "received"), count(&report, "deadLettered")), (1, 1));
    let dead_letters = workspace.dead_letters();
    let text = json!(dead_letters).to_string();
    assert!(!text.contains("SECRET") && text.contains("Wind"), "{text}");
}

#[test]
fn every_accepted_event_is_stored_while_handlers_are_killed_and_when_a_signal_ends_the_run() {
    const SENDERS: usize = 4;
    let workspace = Workspace::new();
    let run = listening(&workspace, &["--instances", "2"]);
    let (is_over, accepted) = (AtomicBool::new(false), AtomicU32::new(0));
    // Each sender sends one reading after another, until it gets another answer than 201.
    let send = |sender: usize| {
        let device = format!("d{sender}");
        let sent = (0..).take_while(|n| run.send(&device, *n) == Some(201)).inspect(|_| {
            accepted.fetch_add(1, Relaxed);
        });
        let last = sent.last().expect("the first is accepted");
        assert!(is_over.load(Relaxed), "only the end stops a sender");
        (device, last)
    };
    let wait_for = |more: u32| {
        let until = accepted.load(Relaxed) + more;
        workspace.wait_until("events are accepted", |_| accepted.load(Relaxed) >= until);
    };
    let last: BTreeMap<String, u32> = thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(sender))).collect();
        wait_for(100);
        workspace.wait_until("an event is stored", |workspace| !workspace.documents().is_empty());
        for handler in handlers(&run.child) {
            signal("-KILL", handler);
        }
        wait_for(100);
        is_over.store(true, Relaxed);
        signal("-INT", run.child.id());
        senders.into_iter().map(|sender| sender.join().expect("a sender")).collect()
    });
    let accepted = u64::from(accepted.load(Relaxed));
    let Output { status, stdout, .. } = run.child.wait_with_output().expect("it ends");
    let stderr = run.errors.join().expect("text").into_bytes();
    let report = report(&Output { status, stdout, stderr }, 0);
    assert_adds_up(&report);
    assert_eq!((count(&report, "lost"), count(&report, "unfinished")), (0, 0), "{report}");
    // An answer may be lost with the connection, but not an event that was accepted.
    let received = count(&report, "received");
    assert!((accepted..=accepted + SENDERS as u64).contains(&received), "{accepted} {report}");
    for (device, last) in last {
        let stored = battery(&workspace, &device).and_then(|battery| battery.as_u64());
        assert!(
            stored.is_some_and(|stored| (u64::from(last)..=u64::from(last) + 1).contains(&stored)),
            "{device} {last}"
        );
    }
}

#[test]
fn events_by_http_come_beside_a_file_and_the_run_stays_after_it() {
    let workspace = Workspace::new();
    let file = workspace.write("events.jsonl", lines(&crate::support::events(0..50)));
    let run = listening(&workspace, &["--file", file.to_str().expect("text")]);
    workspace.wait_until("the file is stored", |workspace| workspace.documents().len() == 11);
    assert_eq!(run.send("later", 1), Some(201));
    let report = run.end("-INT", 0);
    assert_eq!((count(&report, "received"), count(&report, "receivedByHttp")), (51, 1));
    assert_eq!((&report["input"]["source"], &report["events"]["expected"]), (&"file".into(), &Value::Null));
    assert_eq!(workspace.documents().len(), 12);
}

#[test]
fn a_queue_with_sessions_takes_messages_with_a_session_only() {
    let workspace = Workspace::new();
    let run = listening(&workspace, &["--sessions"]);
    let event = r#"{"deviceId":"d","battery":1}"#;
    let refused = run.post(&[("BrokerProperties", r#"{"PartitionKey":"d"}"#)], event);
    assert!(refused.status == 400 && String::from_utf8_lossy(&refused.body).contains("SessionId"), "{refused:?}");
    assert_eq!(run.request("POST", "/sessions/partitions/0/messages", &[], event).status, 404);
    for n in 0..10 {
        let body = json!({ "deviceId": "d", "battery": n }).to_string();
        assert_eq!(run.post(&[("BrokerProperties", r#"{"SessionId":"d"}"#)], &body).status, 201);
    }
    let report = run.end("-INT", 0);
    assert_eq!((count(&report, "received"), count(&report, "applied"), count(&report, "inSubQueue")), (10, 10, 0));
    assert_eq!(battery(&workspace, "d"), Some(9.into()));
}

#[test]
fn a_port_in_use_and_two_ports_are_refused_before_anything_starts() {
    let workspace = Workspace::new();
    let run = listening(&workspace, &[]);
    let port = run.port.to_string();
    let other = Workspace::new();
    let output = other.local(&["--listen", &port]).output().expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains(&format!("127.0.0.1:{port} cannot be opened")) && errors.contains("--listen"), "{errors}");
    run.end("-INT", 0);
    for (options, words) in [
        (&["--listen", "7001", "--ui", "7002"][..], "--listen and --ui share one port"),
        (&["--listen", "65536"], "65536"),
        (&["--listen", "--check"], "--check"),
    ] {
        let output = other.local(options).output().expect("the binary runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(words), "{options:?} {errors}");
    }
}

/// Writes a timer function that is due each second into the app of a workspace.
fn each_second(workspace: &Workspace, function: &str, binding: &str) {
    let timer = json!({ "bindings": [
        { "type": "timerTrigger", "direction": "in", "name": binding, "schedule": "* * * * * *", "useMonitor": true }
    ] });
    workspace.write(&format!("app/{function}/function.json"), timer.to_string());
}

#[test]
fn timer_functions_are_called_by_their_schedules() {
    let workspace = Workspace::new();
    each_second(&workspace, "DeadLetterWatchFunction", "timer");
    let telemetry = workspace.path("telemetry.jsonl");
    let run = listening(&workspace, &["--telemetry", telemetry.to_str().expect("text")]);
    let calls = || {
        let rows = std::fs::read_to_string(&telemetry).unwrap_or_default();
        rows.lines().filter(|row| row.contains("Function.DeadLetterWatchFunction.User")).count()
    };
    workspace.wait_until("it is called twice", |_| calls() >= 2);
    let report = run.end("-INT", 0);
    // Once more at the end.
    assert!(calls() >= 3, "{report}");
    assert_eq!(report["deadLetterQueue"]["messages"], 0);
}

#[test]
fn a_device_that_sends_nothing_falls_silent_and_is_back_with_its_next_event() {
    let workspace = Workspace::new();
    each_second(&workspace, "SilenceWatchFunction", "silence");
    let root = function_app(&workspace, |_, _| {});
    let telemetry = workspace.path("telemetry.jsonl");
    let mut local = workspace.local(&["--listen", "0", "--app-root", root.to_str().expect("text"), "--telemetry"]);
    let run = Listening::start({
        local.arg(&telemetry);
        local.envs([("SilentAfter", "00:00:01"), ("HeardEvery", "00:00:00")]);
        local
    });
    assert_eq!(run.send("d", 1), Some(201));
    let is_silent = |workspace: &Workspace| workspace.stored("d").is_some_and(|text| text.contains("\"SilentSince\":"));
    workspace.wait_until("it is silent", is_silent);
    assert_eq!(run.send("d", 2), Some(201));
    // By the record, because it may be silent again before the document is read here.
    let is_back = |_: &Workspace| std::fs::read_to_string(&telemetry).unwrap_or_default().contains("deviceBack");
    workspace.wait_until("it is back", is_back);
    run.end("-INT", 0);
}
