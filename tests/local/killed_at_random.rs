//! Handlers killed with SIGKILL at moments of chance, hundreds of times: in the end all is as if nothing had been.

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

use crate::support::{Place, assert_adds_up, count, function_app, handlers, last_values, report, signal};

/// How many handlers are killed.
const KILLS: usize = 300;

/// Devices of one round. They send in no other, so that whatever is lost of them shows in the end.
const DEVICES: usize = 10;

/// Good events of one round, and bad ones among them.
const GOOD: usize = 50;
const BAD: usize = 5;

/// Sends telemetry of chance, and remembers it.
struct Sender {
    random: Rng,
    input: ChildStdin,
    rounds: usize,
    good: Vec<Value>,
    bad: BTreeSet<String>,
    /// All of it, as it was sent.
    text: Vec<u8>,
}

impl Sender {
    fn send_round(&mut self) {
        let from = self.text.len();
        for number in 0..GOOD {
            // One device sends in all rounds; each of the others begins with a key frame.
            let of_round = format!("device-{}-{}", self.rounds, number % DEVICES);
            let device = if number % 9 == 8 { "always" } else { &of_round };
            let event = self.event(device, number < DEVICES);
            writeln!(self.text, "{event}").expect("memory takes everything");
            self.good.push(event);
            if number % (GOOD / BAD) == 0 {
                let event = self.bad_event(device);
                writeln!(self.text, "{event}").expect("memory takes everything");
                self.bad.insert(event);
            }
        }
        self.rounds += 1;
        self.input.write_all(&self.text[from..]).expect("it reads");
    }

    /// A key frame, or a delta that tells some of it. No value comes in two events.
    fn event(&mut self, device: &str, is_key_frame: bool) -> Value {
        let value = json!(f64::from(u32::try_from(self.good.len()).expect("not that many")));
        let is_told: [bool; 4] = std::array::from_fn(|_| is_key_frame || self.random.bool());
        let [latitude, longitude, altitude, battery] = is_told.map(|is_told| is_told.then_some(&value));
        json!({
            "deviceId": device,
            "position": { "latitude": latitude, "longitude": longitude, "altitude": altitude },
            "battery": battery,
        })
    }

    /// An event that can never be applied, though it looks as if it had readings. No two are alike.
    fn bad_event(&self, device: &str) -> String {
        let number = self.bad.len();
        match number % 3 {
            0 => format!(r#"{{"deviceId":"{device}","position":{{"altitude":-1}},"battery":"full","n":{number}}}"#),
            1 => format!(r#"{{"deviceId":"{device}","battery":-1,"flightMode":99,"n":{number}}}"#),
            _ => format!(r#"{{"n":{number},"deviceId":"{device}","battery":-1,"#),
        }
    }
}

/// Sees when something new is in the state file, whoever wrote it.
struct News {
    state: Connection,
    seen: i64,
}

impl News {
    fn of(place: &Place) -> Self {
        place.until("there are documents", |place| !place.documents().is_empty());
        let state = Connection::open_with_flags(place.state(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        Self { state: state.expect("a state file"), seen: 0 }
    }

    fn are_there(&mut self) -> bool {
        let version = self.state.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a number");
        mem::replace(&mut self.seen, version) != version
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes live on in real time, and a moment of it is picked")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// The port of a handler. It stays the same until its host gives up.
fn port(handler: u32) -> Option<u16> {
    let environment = fs::read_to_string(format!("/proc/{handler}/environ")).ok()?;
    environment.split('\0').find_map(|setting| setting.strip_prefix("FUNCTIONS_CUSTOMHANDLER_PORT=")?.parse().ok())
}

/// How many connections there are to each port of this machine.
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

/// Kills one handler after the other: behind some progress, and there at a moment of chance, be it at work or starting.
fn kill_handlers(local: &Child, place: &Place, sender: &mut Sender, random: &mut Rng) {
    let (mut killed, mut proven) = (HashSet::new(), HashSet::<u16>::new());
    sender.send_round();
    let mut news = News::of(place);
    while killed.len() < KILLS {
        sender.send_round();
        place.until("something new is written", |_| {
            pause(Duration::from_millis(1));
            news.are_there()
        });
        pause(Duration::from_micros(random.u64(0..20_000)));
        let alive = handlers(local).into_iter().filter(|pid| !killed.contains(pid));
        let alive: Vec<_> = alive.filter_map(|pid| Some((pid, port(pid)?))).collect();
        // When a host's handlers die three times before one was ever ready, the run ends, as it should. A host has one
        // connection to ask whether its handler is ready, and then one for each partition.
        let connections = connections();
        proven.extend(alive.iter().map(|(_, port)| *port).filter(|port| connections.get(port) > Some(&1)));
        let mortal: Vec<_> = alive.iter().filter(|(_, port)| proven.contains(port)).collect();
        if let Some((pid, _)) = random.choice(mortal)
            && signal("-KILL", *pid)
        {
            killed.insert(*pid);
        }
    }
    place.until("each killed handler has another in its place", |_| {
        pause(Duration::from_millis(1));
        let alive = handlers(local);
        alive.len() == 3 && alive.iter().all(|pid| !killed.contains(pid))
    });
}

/// The dead letters by the event that they are of.
fn letters(place: &Place) -> BTreeMap<String, Vec<Value>> {
    let mut letters: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for letter in place.dead_letters() {
        let body = BASE64.decode(letter["EventData"]["Body"].as_str().expect("a body")).expect("base64");
        letters.entry(String::from_utf8(body).expect("text")).or_default().push(letter);
    }
    letters
}

#[test]
#[ignore = "just test-deep"]
fn handlers_killed_hundreds_of_times_at_random_moments_leave_what_an_undisturbed_run_leaves() {
    let seed = fastrand::u64(..);
    println!("the seed is {seed}");
    let mut random = Rng::with_seed(seed);
    let place = Place::new();
    let root = function_app(&place, |host, _| {
        host["extensions"]["eventHubs"]["maxEventBatchSize"] = 10.into();
        // So that a host that gives up has batches behind its checkpoint that were answered, and come again.
        host["extensions"]["eventHubs"]["batchCheckpointFrequency"] = 3.into();
    });
    // What the run says of each death is more than fits into a pipe that nobody reads.
    let said = place.path("said");
    let mut command = place.local(&["--input", "-", "--instances", "3", "--partitions", "12", "--app-root"]);
    command.arg(root).stdin(Stdio::piped()).stderr(File::create(&said).expect("a new file"));
    let mut child = command.spawn().expect("the binary runs");
    let input = child.stdin.take().expect("a pipe");
    let (good, bad, text) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut sender = Sender { random: random.fork(), input, rounds: 0, good, bad, text };
    kill_handlers(&child, &place, &mut sender, &mut random);
    let Sender { input, good, bad, text, .. } = sender;
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let report = report(&Output { stderr: fs::read(said).expect("a file"), ..output }, 0);

    assert_adds_up(&report);
    assert_eq!(count(&report, "received"), (good.len() + bad.len()) as u64, "{report}");
    let deaths = count(&report, "handlerRestarts") + count(&report, "hostRestarts");
    // A handler may die by itself: when a test beside this one has got its port before it.
    assert!((KILLS..KILLS + 3).contains(&usize::try_from(deaths).expect("a small number")), "{report}");
    assert!(count(&report, "failedAttempts") > 0, "batches were in the hands of the killed: {report}");
    assert!(count(&report, "repeated") > 0, "batches that had been answered came again: {report}");

    let undisturbed = Place::new();
    let input = undisturbed.write("e.jsonl", text);
    undisturbed.run(&["--input", input.to_str().expect("text"), "--instances", "3", "--partitions", "12"]);
    let documents = place.documents();
    assert!(documents == undisturbed.documents(), "the documents are those of an undisturbed run");
    assert!(documents == last_values(good), "the documents are the last present values");
    let letters = letters(&place);
    assert!(letters.keys().eq(&bad), "there are dead letters of each bad event, and of no other");
    assert!(undisturbed.dead_letters().len() == bad.len() && letters.values().flatten().count() > bad.len());
    for repeats in letters.values() {
        let [first, others @ ..] = &repeats[..] else { unreachable!("each has at least one") };
        assert!(others.iter().all(|letter| letter["Id"] == first["Id"]), "repeats have the same id: {repeats:?}");
    }
    let ids: BTreeSet<_> = letters.values().map(|repeats| repeats[0]["Id"].as_str()).collect();
    assert_eq!(ids.len(), bad.len(), "and no others have it");
}
