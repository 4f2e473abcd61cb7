//! The handler with its documents in Cosmos DB: real requests of the real client to the account of `tests/cosmos-listener`.

mod access_failures;
mod commands;
mod container;
mod identity;
mod operations;
mod outages;
mod python_reader;
mod reading;
mod refused_documents;
mod rejected_documents;
mod request_faults;
mod request_units;
mod sequence_numbers;
mod settings;
mod silence_watch;
mod test_account;
mod throttling;
mod writers;

use std::{
    sync::{Condvar, Mutex},
    time::{Duration, Instant},
};

use devicestate_test_support::{App, Batch, Event, Handler, Reply, listener::Listener};
use serde_json::{Value, json};
use uuid::Uuid;

/// Returns the app that ships, with its documents in this account.
fn app(listener: &Listener) -> App {
    let app = App::shipped().without("SqlitePath").with("StateStore", "cosmos");
    app.with("CosmosConnection", listener.connection_string())
}

/// The replies to a batch that the host delivers under the shipped, unlimited retry policy.
struct Delivered {
    reply: Reply,
    /// The bodies of the replies to the failed attempts.
    failed: Vec<Value>,
}

impl Delivered {
    /// Checks that nothing was dead-lettered. Events that an earlier attempt has written count as superseded in the last.
    #[track_caller]
    fn assert_no_dead_letter(&self, events: u64) {
        let [all, .., dead_lettered] = self.reply.counts();
        assert_eq!((all, dead_lettered), (events, 0), "{:?}", self.reply.dead_letters);
    }
}

/// Counts failed attempts while others are running.
#[derive(Debug, Default)]
struct Failures(Mutex<u64>, Condvar);

impl Failures {
    fn add(&self) {
        *self.0.lock().expect("no panic") += 1;
        self.1.notify_all();
    }

    /// Waits for this many failed attempts.
    fn wait_for(&self, count: u64) {
        let failures = self.0.lock().expect("no panic");
        let waited = self.1.wait_timeout_while(failures, Duration::from_secs(30), |failures| *failures < count);
        assert!(!waited.expect("no panic").1.timed_out(), "no attempt failed");
    }
}

/// Sends a batch until its reply is final, like the host but without its pauses.
fn deliver(handler: &Handler, batch: &Batch) -> Delivered {
    deliver_counting(handler, batch, &Failures::default(), || ())
}

/// Sends a batch until its reply is final. Counts the failed attempts and pauses after each.
fn deliver_counting(handler: &Handler, batch: &Batch, failures: &Failures, pause: impl Fn()) -> Delivered {
    let id = Uuid::new_v4().to_string();
    let started = Instant::now();
    let mut failed = Vec::new();
    loop {
        let retries = i64::try_from(failed.len()).expect("few");
        let envelope = batch.clone().retry(retries, -1).envelope().to_string();
        let response = handler.post(&id, envelope.as_bytes());
        if response.status == 200 {
            return Delivered { reply: Reply::from_response(&response), failed };
        }
        assert_eq!(response.status, 503, "{}", response.json());
        assert!(started.elapsed() < Duration::from_mins(1), "no final reply in time: {}", response.json());
        failed.push(response.json());
        failures.add();
        pause();
    }
}

/// Returns an event of a device with these JSON fields.
fn event(number: i64, device: &str, mut fields: Value) -> Event {
    fields["deviceId"] = device.into();
    Event::json(number, &fields)
}

/// Returns an event with a battery level.
fn battery(number: i64, device: &str, level: f64) -> Event {
    event(number, device, json!({ "battery": level }))
}

/// Returns the sum of the request units in records.
fn request_units<'a>(records: impl IntoIterator<Item = &'a Value>) -> f64 {
    let units =
        |record: &Value| record["requestUnits"].as_f64().unwrap_or_else(|| panic!("no requestUnits in {record}"));
    records.into_iter().map(units).sum()
}
