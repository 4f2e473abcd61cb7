//! The end of the process that started the handler. A killed host leaves its handler running, with its port and its state file,
//! so the handler ends itself. A shell is the host here.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use devicestate_test_support::{App, Batch, Event, FUNCTION, Framing, free_port, pause, request};
use serde_json::json;

/// How long a handler may run without its host.
const LIMIT: Duration = Duration::from_secs(5);

/// A shell that has started a handler and waits for its end.
struct Host {
    shell: Child,
    port: u16,
    handler: u32,
}

impl Host {
    /// Starts a handler, and waits for it to be ready. The script's last command starts it in the background.
    fn start(app: &App, script: &str) -> Self {
        let tool = app.tool();
        let port = free_port();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{script} echo $!; wait")]).current_dir(app.path(""));
        shell.env_clear().envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("HANDLER", tool.get_program()).env("PORT", port.to_string());
        let mut shell = shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
        let handler = line.trim().parse().expect("a process id");
        let host = Self { shell, port, handler };
        host.wait_until("the handler is ready", LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        host
    }

    fn kill(&mut self) {
        self.shell.kill().expect("a child of this process");
        self.shell.wait().expect("a child of this process");
    }

    /// Returns whether the handler runs. Nothing may have collected the exit code of an ended one.
    fn has_handler(&self) -> bool {
        fs::read(format!("/proc/{}/cmdline", self.handler)).is_ok_and(|arguments| !arguments.is_empty())
    }

    fn wait_until(&self, condition: &str, limit: Duration, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < limit, "not reached within {limit:?}: {condition} ({})", self.handler);
            thread::yield_now();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.handler.to_string()]).stderr(Stdio::null()).status();
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn a_handler_ends_with_its_host_and_leaves_neither_its_port_nor_an_open_state_file() {
    for setting in ["FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"] {
        let app = App::shipped();
        let mut host = Host::start(&app, &format!("{setting}=$PORT \"$HANDLER\" serve > log 2>&1 &"));
        let batch = Batch::of([Event::json(1, &json!({ "deviceId": "a", "battery": 0.5 }))]).envelope().to_string();
        let path = format!("/{FUNCTION}");
        let headers = [("Content-Type", "application/json")];
        let response = request(host.port, "POST", &path, &headers, batch.as_bytes(), Framing::Length);
        assert_eq!(response.expect("an answer").status, 200);
        assert!(app.path("state.db-wal").exists(), "the handler has the file open");
        host.kill();
        host.wait_until("no handler is left", LIMIT, || !host.has_handler());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, host.port)).is_err(), "the port is free");
        assert!(!app.path("state.db-wal").exists(), "the state file was closed");
        assert_eq!(app.readings("a")["Battery"], 0.5);
        let log = fs::read_to_string(app.path("log")).expect("a file");
        assert!(log.lines().last().is_some_and(|line| line.contains("started the handler has ended")), "{log}");
    }
}

#[test]
fn a_handler_that_was_started_by_hand_outlives_its_shell() {
    let app = App::shipped();
    let mut shell = Host::start(&app, "\"$HANDLER\" serve --port $PORT > log 2>&1 &");
    shell.kill();
    // Longer than a handler of a host waits between two looks at its parent.
    pause(Duration::from_secs(1));
    assert!(shell.has_handler());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, shell.port)).is_ok());
}
