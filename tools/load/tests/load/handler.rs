//! The real handler, with this repository's function app.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use devicestate_test_support::{program::devicestate, root};
use serde_json::Value;

/// A running handler. It is killed when this is dropped.
pub(crate) struct Handler {
    pub(crate) port: u16,
    child: Child,
}

impl Handler {
    /// Starts the handler with only these settings; it decodes drones, unless they name other telemetry. It listens on a free port, which its start record contains.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(devicestate());
        command.args(["serve", "--port", "0"]).env_clear().env("Telemetry", "drone").envs(settings.iter().copied());
        // It is never used, but the handler warns if it is missing.
        command.env("DeadLetterDirectory", env!("CARGO_TARGET_TMPDIR"));
        command.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let records = lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.expect("UTF-8")).expect("JSON"));
        let start = records.into_iter().find(|record| record["record"] == "start").expect("a start record");
        let port = u16::try_from(start["port"].as_u64().expect("a port")).expect("a port");
        Self { port, child }
    }

    pub(crate) fn in_memory() -> Self {
        Self::start(&[("StateStore", "memory")])
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // Each fails only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
