//! Handlers killed with SIGKILL at random moments, hundreds of times: the result equals that of an undisturbed run.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    io::Write as _,
    mem,
    process::{Child, ChildStdin, Output, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fastrand::Rng;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, function_app, handlers, last_values, report, signal};

/// The number of handlers that are killed.
const KILLS: usize = 300;

/// Devices of one round. They send in no other round, so a lost event is visible at the end.
const DEVICES: usize = 10;

/// Valid events of one round, and invalid ones among them.
const VALID: usize = 50;
const INVALID: usize = 5;

/// Sends random telemetry and records it.
struct Sender {
    random: Rng,
    input: ChildStdin,
    rounds: usize,
    valid: Vec<Value>,
    invalid: BTreeSet<String>,
    /// The entire text that was sent.
    text: Vec<u8>,
}

impl Sender {
    fn send_round(&mut self) {
        let from = self.text.len();
        for number in 0..VALID {
            // One device sends in all rounds; each of the others begins with a key frame.
            let own_device = format!("device-{}-{}", self.rounds, number % DEVICES);
            let device = if number % 9 == 8 { "always" } else { &own_device };
            let event = self.event(device, number < DEVICES);
            writeln!(self.text, "{event}").expect("written");
            self.valid.push(event);
            if number % (VALID / INVALID) == 0 {
                let event = self.invalid_event(device);
                writeln!(self.text, "{event}").expect("written");
                self.invalid.insert(event);
            }
        }
        self.rounds += 1;
        self.input.write_all(&self.text[from..]).expect("it reads");
    }

    /// Returns a key frame, or a delta with some of its fields. Every event has another value.
    fn event(&mut self, device: &str, is_key_frame: bool) -> Value {
        let value = json!(f64::from(u32::try_from(self.valid.len()).expect("a small number")));
        let is_present: [bool; 4] = std::array::from_fn(|_| is_key_frame || self.random.bool());
        let [latitude, longitude, altitude, battery] = is_present.map(|is_present| is_present.then_some(&value));
        json!({
            "deviceId": device,
            "position": { "latitude": latitude, "longitude": longitude, "altitude": altitude },
            "battery": battery,
        })
    }

    /// Returns a unique event that can never be applied, although it has readings.
    fn invalid_event(&self, device: &str) -> String {
        let number = self.invalid.len();
        match number % 3 {
            0 => format!(r#"{{"deviceId":"{device}","position":{{"altitude":-1}},"battery":"full","n":{number}}}"#),
            1 => format!(r#"{{"deviceId":"{device}","battery":-1,"flightMode":99,"n":{number}}}"#),
            _ => format!(r#"{{"n":{number},"deviceId":"{device}","battery":-1,"#),
        }
    }
}

/// Detects that another process has written to the state file.
struct ChangeDetector {
    state: Connection,
    seen: i64,
}

impl ChangeDetector {
    fn new(workspace: &Workspace) -> Self {
        workspace.wait_until("there are documents", |workspace| !workspace.documents().is_empty());
        let state = Connection::open_with_flags(workspace.state(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        Self { state: state.expect("a state file"), seen: 0 }
    }

    fn has_changed(&mut self) -> bool {
        let version = self.state.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a number");
        mem::replace(&mut self.seen, version) != version
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes run in real time, and a random moment of it is chosen")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// Returns the port of a handler. It stays the same until its host stops.
fn port(handler: u32) -> Option<u16> {
    let environment = fs::read_to_string(format!("/proc/{handler}/environ")).ok()?;
    environment.split('\0').find_map(|setting| setting.strip_prefix("FUNCTIONS_CUSTOMHANDLER_PORT=")?.parse().ok())
}

/// Returns the number of connections to each port of this machine.
fn connections() -> BTreeMap<u16, usize> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = rows.filter(|row| row[3] == "01").filter_map(|row| row[1].rsplit_once(':'));
    let mut connections = BTreeMap::new();
    for port in established.filter_map(|(_, port)| u16::from_str_radix(port, 16).ok()) {
        *connections.entry(port).or_default() += 1;
    }
    connections
}

/// Kills one handler after another: after some progress, at a random moment, busy or starting.
fn kill_handlers(local: &Child, workspace: &Workspace, sender: &mut Sender, random: &mut Rng) {
    let (mut killed, mut ready_ports) = (HashSet::new(), HashSet::<u16>::new());
    sender.send_round();
    let mut detector = ChangeDetector::new(workspace);
    while killed.len() < KILLS {
        sender.send_round();
        workspace.wait_until("documents change", |_| {
            pause(Duration::from_millis(1));
            detector.has_changed()
        });
        pause(Duration::from_micros(random.u64(0..20_000)));
        let alive = handlers(local).into_iter().filter(|pid| !killed.contains(pid));
        let alive: Vec<_> = alive.filter_map(|pid| Some((pid, port(pid)?))).collect();
        // If a host's handlers fail three times before one was ready, the run ends with an error. A host has one connection to
        // check whether its handler is ready, and then one for each partition.
        let connections = connections();
        ready_ports.extend(alive.iter().map(|(_, port)| *port).filter(|port| connections.get(port) > Some(&1)));
        let candidates: Vec<_> = alive.iter().filter(|(_, port)| ready_ports.contains(port)).collect();
        if let Some((pid, _)) = random.choice(candidates)
            && signal("-KILL", *pid)
        {
            killed.insert(*pid);
        }
    }
    workspace.wait_until("each killed handler is replaced", |_| {
        pause(Duration::from_millis(1));
        let alive = handlers(local);
        alive.len() == 3 && alive.iter().all(|pid| !killed.contains(pid))
    });
}

/// Returns the dead letters by the text of their event.
fn dead_letters_by_text(workspace: &Workspace) -> BTreeMap<String, Vec<Value>> {
    let mut by_text: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for letter in workspace.dead_letters() {
        let body = BASE64.decode(letter["EventData"]["Body"].as_str().expect("a body")).expect("base64");
        by_text.entry(String::from_utf8(body).expect("text")).or_default().push(letter);
    }
    by_text
}

#[test]
#[ignore = "just test-deep"]
fn handlers_killed_at_random_moments_leave_the_result_of_an_undisturbed_run() {
    let seed = fastrand::u64(..);
    println!("the seed is {seed}");
    let mut random = Rng::with_seed(seed);
    let workspace = Workspace::new();
    let root = function_app(&workspace, |host, _| {
        host["extensions"]["eventHubs"]["maxEventBatchSize"] = 10.into();
        // So that a stopped host has answered batches after its checkpoint, which are repeated.
        host["extensions"]["eventHubs"]["batchCheckpointFrequency"] = 3.into();
    });
    // The messages about killed handlers are more than a pipe holds.
    let log = workspace.path("log");
    let mut command = workspace.local(&["--file", "-", "--instances", "3", "--partitions", "12", "--app-root"]);
    command.arg(root).stdin(Stdio::piped()).stderr(File::create(&log).expect("a new file"));
    let mut child = command.spawn().expect("the binary runs");
    let input = child.stdin.take().expect("a pipe");
    let (valid, invalid, text) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut sender = Sender { random: random.fork(), input, rounds: 0, valid, invalid, text };
    kill_handlers(&child, &workspace, &mut sender, &mut random);
    let Sender { input, valid, invalid, text, .. } = sender;
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let report = report(&Output { stderr: fs::read(log).expect("a file"), ..output }, 0);

    assert_adds_up(&report);
    assert_eq!(count(&report, "received"), (valid.len() + invalid.len()) as u64, "{report}");
    let restarts = count(&report, "handlerRestarts") + count(&report, "hostRestarts");
    // A handler may also exit because another test has taken its port.
    assert!((KILLS..KILLS + 3).contains(&usize::try_from(restarts).expect("a small number")), "{report}");
    assert!(count(&report, "failedAttempts") > 0, "killed handlers had batches in flight: {report}");
    assert!(count(&report, "repeated") > 0, "answered batches were repeated: {report}");

    let undisturbed_run = Workspace::new();
    let input = undisturbed_run.write("e.jsonl", text);
    undisturbed_run.run(&["--file", input.to_str().expect("text"), "--instances", "3", "--partitions", "12"]);
    let documents = workspace.documents();
    assert!(documents == undisturbed_run.documents(), "the documents are those of an undisturbed run");
    assert!(documents == last_values(valid), "the documents are the last present values");
    let by_text = dead_letters_by_text(&workspace);
    assert!(by_text.keys().eq(&invalid), "every invalid event has dead letters, and no other event");
    assert!(
        undisturbed_run.dead_letters().len() == invalid.len() && by_text.values().flatten().count() > invalid.len()
    );
    for repeats in by_text.values() {
        let [first, others @ ..] = &repeats[..] else { unreachable!("each event has at least one dead letter") };
        assert!(others.iter().all(|letter| letter["Id"] == first["Id"]), "repeats have the same id: {repeats:?}");
    }
    let ids: BTreeSet<_> = by_text.values().map(|repeats| repeats[0]["Id"].as_str()).collect();
    assert_eq!(ids.len(), invalid.len(), "different events have different ids");
}
