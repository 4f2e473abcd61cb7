//! `devicestate-send`, the real binary, against a hub behind a loopback port.

mod access;
mod devices;
mod faults;
mod hub;
mod order;
mod stopping;
mod tokens;
mod usage;
mod wire;

use std::{
    collections::{BTreeMap, HashSet},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use wire::Arrived;

/// The binary with these arguments, and no settings but the test's.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_devicestate-send"));
    for setting in ["EventHubConnection", "EventHubName"] {
        command.env_remove(setting);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a run came to.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// A number of the report.
    fn count(&self, name: &str) -> u64 {
        let report: Value =
            serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no report: {} {}", self.out, self.err));
        report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
    }
}

/// Runs it against a hub at this port, with a report for machines.
fn send(port: u16, arguments: &[&str]) -> Ran {
    let endpoint = format!("amqp://127.0.0.1:{port}");
    let to = ["--endpoint", &endpoint, "--hub", "telemetry", "--format", "json"];
    Ran::new(command(&[&to, arguments].concat()).output().expect("it runs"))
}

/// What a hub has of each key, in order and without repetitions, and how many events were repeated.
struct Kept {
    bodies: BTreeMap<String, Vec<Vec<u8>>>,
    repeated: u64,
}

impl Kept {
    /// Looks at each batch, too: it has one key, on the envelope and on each event.
    fn of(taken: &[Arrived]) -> Self {
        let mut kept = Self { bodies: BTreeMap::new(), repeated: 0 };
        let mut ids = HashSet::new();
        for batch in taken {
            assert_eq!(batch.format, 0x8001_3700);
            assert!(batch.address.ends_with("/telemetry"), "{}", batch.address);
            let key = batch.key.as_ref().expect("the envelope has the key");
            assert!(!batch.events.is_empty());
            for event in &batch.events {
                assert_eq!(event.key.as_ref(), Some(key));
                if ids.insert(&event.id) {
                    kept.bodies.entry(key.clone()).or_default().push(event.body.clone());
                } else {
                    kept.repeated += 1;
                }
            }
        }
        kept
    }

    /// That each of so many keys has events 1 to so many, in order.
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
