//! `devicestate-send`, the real binary, with a hub on a loopback port.

mod access;
mod devices;
mod faults;
mod hub;
mod interrupting;
mod order;
mod tokens;
mod usage;
mod wire;

use std::{
    collections::{BTreeMap, HashSet},
    process::{Command, Output, Stdio},
};

use devicestate_test_support::read_output;
use serde_json::Value;

use wire::ReceivedBatch;

/// Returns the binary with these arguments, and no settings but the test's.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_devicestate-send"));
    for setting in ["EventHubConnection", "EventHubName"] {
        command.env_remove(setting);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The result of a run.
struct RunOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl RunOutput {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Returns the report of a run with `-o json`.
    #[track_caller]
    fn report(&self) -> Value {
        assert!(!self.out.is_empty(), "no report: {}", self.err);
        read_output(&self.out, self.code)
    }

    /// Returns a number of the report.
    #[track_caller]
    fn count(&self, name: &str) -> u64 {
        let report = self.report();
        report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
    }
}

/// Runs the program with a hub at this port and a report in JSON.
fn send(port: u16, arguments: &[&str]) -> RunOutput {
    let endpoint = format!("amqp://127.0.0.1:{port}");
    let to = ["--endpoint", &endpoint, "--hub", "telemetry", "-o", "json"];
    RunOutput::new(command(&[&to, arguments].concat()).output().expect("it runs"))
}

/// The events of each key in a hub, in order and without repeats, and how many were repeated.
struct HubContent {
    bodies: BTreeMap<String, Vec<Vec<u8>>>,
    repeated: u64,
}

impl HubContent {
    /// Also checks each batch: it has one key, on the envelope and on each event.
    fn of(accepted_batches: &[ReceivedBatch]) -> Self {
        let mut content = Self { bodies: BTreeMap::new(), repeated: 0 };
        let mut ids = HashSet::new();
        for batch in accepted_batches {
            assert_eq!(batch.format, 0x8001_3700);
            assert!(batch.address.ends_with("/telemetry"), "{}", batch.address);
            let key = batch.key.as_ref().expect("the envelope has the key");
            assert!(!batch.events.is_empty());
            for event in &batch.events {
                assert_eq!(event.key.as_ref(), Some(key));
                if ids.insert(&event.id) {
                    content.bodies.entry(key.clone()).or_default().push(event.body.clone());
                } else {
                    content.repeated += 1;
                }
            }
        }
        content
    }

    /// Asserts that each key has all its events in order.
    #[track_caller]
    fn assert_numbered(&self, keys: u32, events: u64) {
        assert_eq!(self.bodies.len(), keys as usize);
        for (key, bodies) in &self.bodies {
            let expected = (1..=events).map(|number| format!(r#"{{"deviceId":"{key}","number":{number}}}"#));
            let bodies = bodies.iter().map(|body| String::from_utf8_lossy(body));
            assert!(bodies.eq(expected), "key {key} is not complete and in order");
        }
    }
}
