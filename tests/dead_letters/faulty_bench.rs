//! A bench whose queue, blobs or audit trail can fail while a command runs.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use devicestate_test_storage::{
    azurite::SHARED,
    bench::Bench,
    proxy::{self, ProxyAction},
};
use devicestate_test_support::{App, Batch, Event};
use rusqlite::Connection;
use serde_json::json;

/// Runs each of these tests on both kinds of queue.
macro_rules! on_both_faulty {
    ($($test:ident),+ $(,)? $(; and_a_storage_queue_beside: $($beside:ident),+ $(,)?)?) => {
        mod on_a_faulty_state_file {
            $(#[test] fn $test() { super::$test(&mut $crate::faulty_bench::FaultyBench::local()); })+
            $($(
                #[test]
                #[ignore = "just test-azure"]
                fn $beside() { super::$beside(&mut $crate::faulty_bench::FaultyBench::local()); }
            )+)?
        }
        mod on_a_faulty_storage_queue {
            $(
                #[test]
                #[ignore = "just test-azure"]
                fn $test() { super::$test(&mut $crate::faulty_bench::FaultyBench::azurite()); }
            )+
            $($(
                #[test]
                #[ignore = "just test-azure"]
                fn $beside() { super::$beside(&mut $crate::faulty_bench::FaultyBench::azurite()); }
            )+)?
        }
    };
}
pub(crate) use on_both_faulty;

/// An operation of a storage service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Count,
    Receive,
    Update,
    Delete,
    Put,
    /// Fetches a dead letter from the overflow.
    Fetch,
    /// Stores a dead letter in the overflow.
    Store,
    /// Writes a line of the audit trail.
    Audit,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Rejected,
    Disconnected,
    ResponseLost,
    /// It waits until the bench is repaired, and then succeeds.
    Held,
}

/// Fails `times` requests of an operation after `after` of them.
#[derive(Debug, Clone, Copy)]
struct Fault {
    after: usize,
    times: usize,
    kind: FaultKind,
}

#[derive(Debug, Default)]
struct Faults {
    by_operation: BTreeMap<Operation, Fault>,
    seen: BTreeMap<Operation, usize>,
    /// The number of requests that wait.
    held: usize,
}

type Shared = Arc<(Mutex<Faults>, Condvar)>;

/// Fails every request.
pub(crate) const ALWAYS: usize = usize::MAX;

pub(crate) struct FaultyBench {
    bench: Bench,
    shared: Shared,
}

impl Deref for FaultyBench {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl FaultyBench {
    pub(crate) fn local() -> Self {
        Self { bench: Bench::local(), shared: Shared::default() }
    }

    /// Uses a proxy for the command and the handler; the bench itself connects to Azurite directly.
    pub(crate) fn azurite() -> Self {
        let shared = Shared::default();
        let before = |port| {
            let shared = Arc::clone(&shared);
            proxy::start(port, move |request| fault_action(&shared, request))
        };
        let ports = [before(SHARED.blob_port), before(SHARED.queue_port)];
        Self { bench: Bench::through_proxy(ports), shared }
    }

    /// Sets or removes a setting of the handler and the command.
    pub(crate) fn set(&mut self, setting: &str, value: Option<&str>) {
        let app = std::mem::replace(&mut self.bench.app, App::shipped());
        self.bench.app = match value {
            Some(value) => app.with(setting, value),
            None => app.without(setting),
        };
    }

    /// Fails `times` requests of an operation after `after` of them. The client sends each request up to four times.
    pub(crate) fn fail(&self, operation: Operation, after: usize, times: usize, kind: FaultKind) {
        let mut faults = lock(&self.shared);
        faults.seen.remove(&operation);
        faults.by_operation.insert(operation, Fault { after, times, kind });
    }

    /// Fails all operations of this kind after `after` of them.
    pub(crate) fn fail_after(&self, operation: Operation, after: usize) {
        if !self.is_local() {
            return self.fail(operation, after, ALWAYS, FaultKind::Rejected);
        }
        let total = self.count();
        let (event, condition) = match operation {
            Operation::Receive => (
                "UPDATE",
                format!("NEW.dequeue_count > OLD.dequeue_count AND (SELECT number FROM received) >= {}", after * 32),
            ),
            Operation::Update => (
                "UPDATE",
                format!(
                    "NEW.visible_ms = 0 AND (SELECT count(*) FROM dead_letters WHERE visible_ms = 0 AND dequeue_count > 0) >= {after}"
                ),
            ),
            Operation::Delete => ("DELETE", format!("(SELECT count(*) FROM dead_letters) <= {}", total - after as u64)),
            Operation::Put => ("INSERT", format!("(SELECT count(*) FROM dead_letters) >= {}", total + after as u64)),
            other => panic!("{other:?} is not an operation of the state file"),
        };
        let trigger = format!(
            "CREATE TABLE received (number INTEGER);
             INSERT INTO received VALUES (0);
             CREATE TRIGGER received AFTER UPDATE ON dead_letters WHEN NEW.dequeue_count > OLD.dequeue_count \
             BEGIN UPDATE received SET number = number + 1; END;
             CREATE TRIGGER broken BEFORE {event} ON dead_letters WHEN {condition} \
             BEGIN SELECT RAISE(ABORT, 'the disk is broken'); END"
        );
        self.sql(&trigger);
    }

    /// Ends all faults.
    pub(crate) fn repair(&self) {
        lock(&self.shared).by_operation.clear();
        self.shared.1.notify_all();
        if self.is_local() {
            self.sql("DROP TRIGGER IF EXISTS broken; DROP TRIGGER IF EXISTS received; DROP TABLE IF EXISTS received");
        }
    }

    /// Waits until a request is held.
    pub(crate) fn wait_until_held(&self) {
        let timeout = Duration::from_mins(1);
        let faults = lock(&self.shared);
        let (faults, waited) =
            self.shared.1.wait_timeout_while(faults, timeout, |faults| faults.held == 0).expect("no panic");
        drop(faults);
        assert!(!waited.timed_out(), "no request was held within a minute");
    }

    pub(crate) fn sql(&self, statement: &str) {
        self.connection().execute_batch(statement).expect("a statement");
    }

    /// Returns the count of a query on the state file.
    pub(crate) fn query_count(&self, query: &str) -> i64 {
        self.connection().query_row(query, [], |row| row.get(0)).expect("a number")
    }

    fn connection(&self) -> Connection {
        let connection = Connection::open(self.state()).expect("a state file");
        connection.busy_timeout(Duration::from_secs(30)).expect("a time");
        connection
    }

    /// Asserts the number of messages, and that all are visible.
    #[track_caller]
    pub(crate) fn assert_all_visible(&self, messages: u64) {
        assert_eq!(self.count(), messages);
        if self.is_local() {
            let visible = self.query_count("SELECT count(*) FROM dead_letters WHERE visible_ms = 0");
            assert_eq!(u64::try_from(visible), Ok(messages));
            return;
        }
        // Received by the test, because a peek shows at most 32.
        let queue = self.queue();
        let visible = self.wait_for(async {
            let mut held = Vec::new();
            loop {
                let received = queue.receive(32, Duration::from_hours(1)).await.expect("received");
                if received.is_empty() {
                    break;
                }
                held.extend(received);
            }
            let visible = held.len() as u64;
            for mut received in held {
                queue.update(&mut received, None, Duration::ZERO).await.expect("released");
            }
            visible
        });
        assert_eq!(visible, messages);
    }
}

/// Returns the lines of the audit trail in this file.
pub(crate) fn audit_lines(file: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a complete line")).collect()
}

/// Returns this many JSON events, each of another device.
pub(crate) fn events(number: usize) -> Batch {
    let event =
        |number: i64| Event::new(number, json!({"deviceId": format!("drone-{number}"), "battery": 0.5}).to_string());
    Batch::of((1..=i64::try_from(number).expect("few")).map(event).collect::<Vec<_>>())
}

/// Puts the dead letters of [`events`] into the queue: from a handler that decodes everything as protobuf, unlike the command.
pub(crate) fn put_dead_letters(faulty: &FaultyBench, number: usize) -> Batch {
    let batch = events(number);
    let protobuf_bench = Bench::local().app.with("TelemetryFormat", "protobuf");
    let reply = protobuf_bench.start().invoke(&batch.envelope());
    assert_eq!(reply.dead_letters.len(), number);
    faulty.put_all(&reply);
    batch
}

fn lock(shared: &Shared) -> MutexGuard<'_, Faults> {
    shared.0.lock().expect("no panic")
}

/// The file extension of dead letters in the overflow.
const OVERFLOW_EXTENSION: &str = ".json";

fn operation_of(request: &str) -> Option<Operation> {
    let (method, path) = request.split_once(' ')?;
    let is_message = path.split('?').next()?.contains("/messages");
    let is_blob = path.split('?').next()?.ends_with(OVERFLOW_EXTENSION);
    Some(match method {
        "GET" if is_message && !path.contains("peekonly") => Operation::Receive,
        "GET" | "HEAD" if path.contains("comp=metadata") => Operation::Count,
        "POST" if is_message => Operation::Put,
        "PUT" if is_message => Operation::Update,
        "DELETE" if is_message => Operation::Delete,
        "GET" if is_blob => Operation::Fetch,
        "PUT" if is_blob => Operation::Store,
        "PUT" if path.contains(".jsonl") => Operation::Audit,
        _ => return None,
    })
}

fn fault_action(shared: &Shared, request: &str) -> ProxyAction {
    let Some(operation) = operation_of(request) else { return ProxyAction::Forward };
    let mut faults = lock(shared);
    let seen = faults.seen.entry(operation).or_default();
    *seen += 1;
    let number = *seen - 1;
    let Some(&Fault { after, times, kind }) = faults.by_operation.get(&operation) else { return ProxyAction::Forward };
    if number < after || number - after >= times {
        return ProxyAction::Forward;
    }
    match kind {
        FaultKind::Rejected => ProxyAction::Respond(503, "ServerBusy"),
        FaultKind::Disconnected => ProxyAction::Disconnect,
        FaultKind::ResponseLost => ProxyAction::DropResponse,
        FaultKind::Held => {
            faults.held += 1;
            shared.1.notify_all();
            let mut faults =
                shared.1.wait_while(faults, |faults| faults.by_operation.contains_key(&operation)).expect("no panic");
            faults.held -= 1;
            ProxyAction::Forward
        }
    }
}
