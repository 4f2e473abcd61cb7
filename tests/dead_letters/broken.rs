//! A bench whose queue, blobs or audit trail can be put out of order in the middle of what the tool does.

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

/// Each of these tests on both kinds of queue.
macro_rules! on_both_broken {
    ($($test:ident),+ $(,)? $(; and_a_storage_queue_beside: $($beside:ident),+ $(,)?)?) => {
        mod on_a_broken_state_file {
            $(#[test] fn $test() { super::$test(&mut $crate::broken::Broken::local()); })+
            $($(
                #[test]
                #[ignore = "just test-azure"]
                fn $beside() { super::$beside(&mut $crate::broken::Broken::local()); }
            )+)?
        }
        mod on_a_broken_storage_queue {
            $(
                #[test]
                #[ignore = "just test-azure"]
                fn $test() { super::$test(&mut $crate::broken::Broken::azurite()); }
            )+
            $($(
                #[test]
                #[ignore = "just test-azure"]
                fn $beside() { super::$beside(&mut $crate::broken::Broken::azurite()); }
            )+)?
        }
    };
}
pub(crate) use on_both_broken;

/// What the tool asks a storage service for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Count,
    Receive,
    Update,
    Delete,
    Put,
    /// Of a whole dead letter.
    Fetch,
    /// Of a whole dead letter.
    Keep,
    /// Of a line of the audit trail.
    Trail,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Refused,
    Cut,
    AnswerLost,
    /// It waits until the bench is repaired, and is answered then.
    Held,
}

/// After so many requests of a kind, so many fail.
#[derive(Debug, Clone, Copy)]
struct Fault {
    after: usize,
    times: usize,
    how: How,
}

#[derive(Debug, Default)]
struct Faults {
    by_kind: BTreeMap<Kind, Fault>,
    seen: BTreeMap<Kind, usize>,
    /// How many requests wait.
    held: usize,
}

type Shared = Arc<(Mutex<Faults>, Condvar)>;

/// For ever.
pub(crate) const ALWAYS: usize = usize::MAX;

pub(crate) struct Broken {
    bench: Bench,
    shared: Shared,
}

impl Deref for Broken {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl Broken {
    pub(crate) fn local() -> Self {
        Self { bench: Bench::local(), shared: Shared::default() }
    }

    /// In front of the tool and of the handler; the bench itself asks Azurite.
    pub(crate) fn azurite() -> Self {
        let shared = Shared::default();
        let before = |port| {
            let shared = Arc::clone(&shared);
            proxy::start(port, move |what| fate(&shared, what))
        };
        let ports = [before(SHARED.blob_port), before(SHARED.queue_port)];
        Self { bench: Bench::through_proxy(ports), shared }
    }

    /// From now on with this setting, or without it, for the handler and for the tool.
    pub(crate) fn set(&mut self, setting: &str, value: Option<&str>) {
        let app = std::mem::replace(&mut self.bench.app, App::shipped());
        self.bench.app = match value {
            Some(value) => app.with(setting, value),
            None => app.without(setting),
        };
    }

    /// From now on, after so many requests of this kind so many fail. The client tries each four times.
    pub(crate) fn fail(&self, kind: Kind, after: usize, times: usize, how: How) {
        let mut faults = lock(&self.shared);
        faults.seen.remove(&kind);
        faults.by_kind.insert(kind, Fault { after, times, how });
    }

    /// From now on, after so many operations of this kind none is done any more.
    pub(crate) fn break_down(&self, kind: Kind, after: usize) {
        if !self.is_local() {
            return self.fail(kind, after, ALWAYS, How::Refused);
        }
        let total = self.count();
        let (event, condition) = match kind {
            Kind::Receive => (
                "UPDATE",
                format!("NEW.dequeue_count > OLD.dequeue_count AND (SELECT number FROM received) >= {}", after * 32),
            ),
            Kind::Update => (
                "UPDATE",
                format!(
                    "NEW.visible_ms = 0 AND (SELECT count(*) FROM dead_letters WHERE visible_ms = 0 AND dequeue_count > 0) >= {after}"
                ),
            ),
            Kind::Delete => ("DELETE", format!("(SELECT count(*) FROM dead_letters) <= {}", total - after as u64)),
            Kind::Put => ("INSERT", format!("(SELECT count(*) FROM dead_letters) >= {}", total + after as u64)),
            other => panic!("{other:?} is no matter of the state file"),
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

    /// All is well again.
    pub(crate) fn repair(&self) {
        lock(&self.shared).by_kind.clear();
        self.shared.1.notify_all();
        if self.is_local() {
            self.sql("DROP TRIGGER IF EXISTS broken; DROP TRIGGER IF EXISTS received; DROP TABLE IF EXISTS received");
        }
    }

    /// Waits until a request is held.
    pub(crate) fn until_held(&self) {
        let patience = Duration::from_mins(1);
        let faults = lock(&self.shared);
        let (faults, waited) =
            self.shared.1.wait_timeout_while(faults, patience, |faults| faults.held == 0).expect("no panic");
        drop(faults);
        assert!(!waited.timed_out(), "no request came");
    }

    pub(crate) fn sql(&self, statement: &str) {
        self.connection().execute_batch(statement).expect("a statement");
    }

    /// What a query on the state file counts.
    pub(crate) fn counted(&self, query: &str) -> i64 {
        self.connection().query_row(query, [], |row| row.get(0)).expect("a number")
    }

    fn connection(&self) -> Connection {
        let connection = Connection::open(self.state()).expect("a state file");
        connection.busy_timeout(Duration::from_secs(30)).expect("a time");
        connection
    }

    /// How many messages everybody can see: the others are hidden. For a Storage queue up to 32.
    #[track_caller]
    pub(crate) fn assert_all_visible(&self, messages: u64) {
        assert_eq!(self.count(), messages);
        if self.is_local() {
            let visible = self.counted("SELECT count(*) FROM dead_letters WHERE visible_ms = 0");
            assert_eq!(u64::try_from(visible), Ok(messages));
            return;
        }
        // Received by the test itself, since a peek shows no more than 32.
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
                queue.update(&mut received, None, Duration::ZERO).await.expect("given back");
            }
            visible
        });
        assert_eq!(visible, messages);
    }
}

/// The lines of the audit trail in this file.
pub(crate) fn trail(file: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
}

/// So many JSON events that each make a document.
pub(crate) fn events(number: usize) -> Batch {
    let event =
        |number: i64| Event::new(number, json!({"deviceId": format!("drone-{number}"), "battery": 0.5}).to_string());
    Batch::of((1..=i64::try_from(number).expect("few")).map(event).collect::<Vec<_>>())
}

/// The dead letters of [`events`] in the queue: of a handler that takes everything for protobuf, where the tool does not.
pub(crate) fn fill(broken: &Broken, number: usize) -> Batch {
    let batch = events(number);
    let wrong = Bench::local().app.with("TelemetryFormat", "protobuf");
    let reply = wrong.start().invoke(&batch.envelope());
    assert_eq!(reply.dead_letters.len(), number);
    broken.put_all(&reply);
    batch
}

fn lock(shared: &Shared) -> MutexGuard<'_, Faults> {
    shared.0.lock().expect("no panic")
}

/// The end of the name of a whole dead letter.
const WHOLE: &str = ".json";

fn kind(what: &str) -> Option<Kind> {
    let (method, path) = what.split_once(' ')?;
    let is_message = path.split('?').next()?.contains("/messages");
    let is_blob = path.split('?').next()?.ends_with(WHOLE);
    Some(match method {
        "GET" if is_message && !path.contains("peekonly") => Kind::Receive,
        "GET" | "HEAD" if path.contains("comp=metadata") => Kind::Count,
        "POST" if is_message => Kind::Put,
        "PUT" if is_message => Kind::Update,
        "DELETE" if is_message => Kind::Delete,
        "GET" if is_blob => Kind::Fetch,
        "PUT" if is_blob => Kind::Keep,
        "PUT" if path.contains(".jsonl") => Kind::Trail,
        _ => return None,
    })
}

fn fate(shared: &Shared, what: &str) -> ProxyAction {
    let Some(kind) = kind(what) else { return ProxyAction::Forward };
    let mut faults = lock(shared);
    let seen = faults.seen.entry(kind).or_default();
    *seen += 1;
    let number = *seen - 1;
    let Some(&Fault { after, times, how }) = faults.by_kind.get(&kind) else { return ProxyAction::Forward };
    if number < after || number - after >= times {
        return ProxyAction::Forward;
    }
    match how {
        How::Refused => ProxyAction::Respond(503, "ServerBusy"),
        How::Cut => ProxyAction::Disconnect,
        How::AnswerLost => ProxyAction::DropResponse,
        How::Held => {
            faults.held += 1;
            shared.1.notify_all();
            let mut faults =
                shared.1.wait_while(faults, |faults| faults.by_kind.contains_key(&kind)).expect("no panic");
            faults.held -= 1;
            ProxyAction::Forward
        }
    }
}
