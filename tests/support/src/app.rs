//! A function app in a temporary folder, and the handler that serves it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{ErrorKind, Read as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Framing, Reply, Response, free_port, program, read_output, recording, repository_file, request};

/// The name of the function of the event hub, and of its folder.
pub const FUNCTION: &str = "RawTelemetryFunction";

/// The name of the function for Service Bus sessions.
pub const SESSIONS: &str = "SessionTelemetryFunction";

/// The name of the dead-letter monitor, the timer function.
pub const DEAD_LETTER_MONITOR: &str = "DeadLetterWatchFunction";

/// The name of the silence watch, another timer function.
pub const SILENCE_WATCH: &str = "SilenceWatchFunction";

/// The name of the function with the HTTP trigger, which answers requests for the state of devices.
pub const DEVICES: &str = "DevicesFunction";

/// The file with the standard output of the handlers.
const LOG: &str = "stdout.log";

/// Limits a handler's start, successful or not: the host's own limit.
const INITIALIZATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A function app: the files of this repository, which a test can change, and settings.
pub struct App {
    binary: PathBuf,
    folder: TempDir,
    settings: BTreeMap<String, OsString>,
}

impl App {
    /// Creates the app that ships, with its documents in an SQLite file. Its devices are drones.
    pub fn shipped() -> Self {
        let app = Self::empty();
        for function in [FUNCTION, SESSIONS, DEAD_LETTER_MONITOR, SILENCE_WATCH, DEVICES] {
            app.add_function(function, &repository_file(&format!("{function}/function.json")));
        }
        app
    }

    /// Creates the app that ships without its functions, with its documents in an SQLite file. Its devices are drones.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = folder.path().join("state.db").display().to_string();
        let settings =
            [("StateStore", "sqlite".to_owned()), ("SqlitePath", database), ("Telemetry", "drone".to_owned())];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.into())).into();
        let app = Self { binary: program::devicestate().to_owned(), folder, settings };
        app.write("host.json", &repository_file("host.json"));
        app
    }

    /// Adds a function of this name.
    pub fn add_function(&self, name: &str, function: &Value) {
        fs::create_dir(self.path(name)).expect("a folder for the function");
        self.write(&format!("{name}/function.json"), function);
    }

    /// Sets a setting.
    pub fn with(mut self, setting: &str, value: impl Into<OsString>) -> Self {
        self.settings.insert(setting.to_owned(), value.into());
        self
    }

    /// Sets another build of the binary.
    pub fn with_binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = binary.into();
        self
    }

    /// Removes a setting.
    pub fn without(mut self, setting: &str) -> Self {
        self.settings.remove(setting);
        self
    }

    /// Adds a telemetry file, and removes the setting that would make the devices drones.
    pub fn with_telemetry_file(self, file: &Value) -> Self {
        self.write("telemetry.json", file);
        self.without("Telemetry")
    }

    /// Edits `host.json`.
    pub fn with_host(self, edit: impl FnOnce(&mut Value)) -> Self {
        self.edit_file("host.json", edit)
    }

    /// Edits `function.json` of the event hub's function.
    pub fn with_function(self, edit: impl FnOnce(&mut Value)) -> Self {
        self.edit_file("RawTelemetryFunction/function.json", edit)
    }

    /// Removes the function for sessions.
    pub fn without_sessions(self) -> Self {
        fs::remove_dir_all(self.path(SESSIONS)).expect("a folder of the app");
        self
    }

    /// Edits `function.json` of the function for sessions.
    pub fn with_session_function(self, edit: impl FnOnce(&mut Value)) -> Self {
        self.edit_file("SessionTelemetryFunction/function.json", edit)
    }

    /// Sets the cardinality and data type of the event hub's trigger.
    pub fn with_trigger(self, cardinality: &str, data_type: Option<&str>) -> Self {
        self.with_function(|function| {
            let trigger = function["bindings"][0].as_object_mut().expect("the trigger");
            trigger.insert("cardinality".into(), cardinality.into());
            trigger.remove("dataType");
            trigger.extend(data_type.map(|data_type| ("dataType".to_owned(), data_type.into())));
        })
    }

    fn edit_file(self, file: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let mut json = repository_file(file);
        edit(&mut json);
        self.write(file, &json);
        self
    }

    fn write(&self, file: &str, json: &Value) {
        fs::write(self.path(file), json.to_string()).expect("a file in the temporary folder");
    }

    /// Returns a path in the app's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the handler and waits for it to be ready, as the host does.
    pub fn start(&self) -> Handler<'_> {
        self.start_with("FUNCTIONS_CUSTOMHANDLER_PORT")
    }

    /// Starts the handler with the port in this environment variable.
    pub fn start_with(&self, port_setting: &str) -> Handler<'_> {
        self.start_as(|command, port| {
            command.env(port_setting, port);
        })
    }

    /// Starts the handler with the read API on a port of its own, which is returned.
    pub fn start_with_api(&self) -> (Handler<'_>, u16) {
        let mut api_port = 0;
        let handler = self.start_as(|command, port| {
            api_port = free_port();
            command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port).args(["--api", &api_port.to_string()]);
        });
        (handler, api_port)
    }

    fn start_as(&self, mut configure: impl FnMut(&mut Command, &str)) -> Handler<'_> {
        // Another process may take the free port before the handler uses it.
        for _ in 0..5 {
            let port = free_port();
            let mut command = self.command();
            configure(&mut command, &port.to_string());
            let mut handler = Handler::new(self, port, &mut command);
            if handler.wait_until_ready() {
                return handler;
            }
            let errors = handler.stop();
            assert!(errors.contains("cannot listen"), "the handler did not start: {errors}");
        }
        panic!("no free port was found");
    }

    /// Starts the handler and closes the pipe of its standard error.
    pub fn start_with_closed_stderr(&self) -> Handler<'_> {
        let port = free_port();
        let mut command = self.command();
        let mut child = command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()).spawn().expect("the binary");
        drop(child.stderr.take());
        let mut handler = Handler { app: self, port, child, errors: None };
        assert!(handler.wait_until_ready(), "the handler did not start");
        handler
    }

    /// Runs a handler that cannot start. Returns its exit status and its standard error.
    pub fn fails_to_start(&self) -> (ExitStatus, String) {
        self.fails_to_start_with(&[("FUNCTIONS_CUSTOMHANDLER_PORT", &free_port().to_string())])
    }

    /// Runs a handler that cannot start, with these environment variables in addition to the settings.
    pub fn fails_to_start_with(&self, environment: &[(&str, &str)]) -> (ExitStatus, String) {
        let mut child = self.command().envs(environment.iter().copied()).spawn().expect("the binary");
        let (sender, receiver) = mpsc::channel();
        let errors = errors(&mut child);
        thread::spawn(move || sender.send(errors.join()));
        let output = receiver.recv_timeout(INITIALIZATION_TIMEOUT);
        if output.is_err() {
            child.kill().expect("a child of this process");
        }
        let status = child.wait().expect("a child of this process");
        (status, output.expect("the handler ends").expect("its standard error"))
    }

    /// The document of a device, as `devicestate devices show` prints it; `None` when there is none.
    pub fn state(&self, device: &str) -> Option<Value> {
        let mut show = self.binary();
        show.args(["devices", "show", device, "-o", "json", "--state"]).arg(self.path("state.db"));
        let output = show.output().expect("the binary");
        if output.status.success() {
            return Some(read_output(&output.stdout, Some(0)));
        }
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("there is no document"), "{error}");
        None
    }

    /// Returns the document of a device without its versions and without when it was last heard.
    pub fn readings(&self, device: &str) -> Value {
        let mut document = self.state(device).unwrap_or_else(|| panic!("no document of {device}"));
        for name in ["Versions", "Heard"] {
            document.as_object_mut().expect("an object").remove(name).expect("each document has it");
        }
        document
    }

    /// Returns a command that runs the binary in an empty environment.
    fn binary(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().current_dir(self.folder.path());
        // Variables that some systems or coverage runs need.
        for name in ["SystemRoot", "TMPDIR", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
    }

    /// Runs the binary with these arguments and this app's settings.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.tool().args(arguments).output().expect("the binary")
    }

    /// Returns a command that runs the binary with this app's settings.
    pub fn tool(&self) -> Command {
        let mut command = self.binary();
        command.envs(&self.settings);
        command
    }

    /// Returns the standard output of all handlers of this app.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path(LOG)).expect("the log")
    }

    fn command(&self) -> Command {
        let mut command = self.binary();
        command.arg("serve").env("FUNCTIONS_APP_ROOT_PATH", self.folder.path()).envs(&self.settings);
        let log =
            File::options().create(true).append(true).open(self.path(LOG)).expect("a file in the temporary folder");
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::piped());
        command
    }
}

/// A running handler. It is killed when this is dropped, as the host does it.
pub struct Handler<'a> {
    app: &'a App,
    pub port: u16,
    child: Child,
    errors: Option<JoinHandle<String>>,
}

impl<'a> Handler<'a> {
    fn new(app: &'a App, port: u16, command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the binary");
        let errors = Some(errors(&mut child));
        Self { app, port, child, errors }
    }

    /// Sends `GET /` every 25 ms until the connection is accepted. Returns false if the process ended.
    fn wait_until_ready(&mut self) -> bool {
        let deadline = Instant::now() + INITIALIZATION_TIMEOUT;
        loop {
            match request(self.port, "GET", "/", &[], b"", Framing::Length) {
                Ok(_) => return self.is_alive(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}"),
            }
            if !self.is_alive() {
                return false;
            }
            assert!(Instant::now() < deadline, "the handler was not ready in time");
            poll_again();
        }
    }

    /// Returns whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_none()
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Posts an invocation, and checks that the reply is valid and has status 200.
    pub fn invoke(&self, envelope: &Value) -> Reply {
        Reply::from_response(&self.post(&uuid::Uuid::new_v4().to_string(), envelope.to_string().as_bytes()))
    }

    /// Posts a request body to the function in chunks, as the host does.
    pub fn post(&self, invocation_id: &str, body: &[u8]) -> Response {
        self.post_framed(invocation_id, body, Framing::Chunked(16_384))
    }

    /// Posts a request body to the function with the host's headers.
    pub fn post_framed(&self, invocation_id: &str, body: &[u8], framing: Framing) -> Response {
        self.call(FUNCTION, invocation_id, body, framing)
    }

    /// Invokes the timer function, as the host does at its scheduled time.
    pub fn invoke_timer(&self) -> Response {
        let body = recording("timer-admin-1").body();
        self.call(DEAD_LETTER_MONITOR, &uuid::Uuid::new_v4().to_string(), &body, Framing::Chunked(16_384))
    }

    /// Posts a request body to a function of this name with the host's headers.
    pub fn call(&self, function: &str, invocation_id: &str, body: &[u8], framing: Framing) -> Response {
        self.call_with(&[], function, invocation_id, body, framing)
    }

    /// Posts a request body to a function of this name with the host's headers and additional ones.
    pub fn call_with(
        &self,
        extra_headers: &[(&str, &str)],
        function: &str,
        invocation_id: &str,
        body: &[u8],
        framing: Framing,
    ) -> Response {
        let mut headers = vec![
            ("X-Azure-Functions-InvocationId", invocation_id),
            ("X-Azure-Functions-HostVersion", "4.1037.0.0"),
            ("User-Agent", "Azure-Functions-Host/4.1037.0.0"),
            ("Content-Type", "application/json; charset=utf-8"),
        ];
        headers.extend(extra_headers);
        let response = request(self.port, "POST", &format!("/{function}"), &headers, body, framing);
        response.expect("an answer of the handler")
    }

    /// See [`App::state`].
    pub fn state(&self, device: &str) -> Option<Value> {
        self.app.state(device)
    }

    /// See [`App::readings`].
    pub fn readings(&self, device: &str) -> Value {
        self.app.readings(device)
    }

    /// Kills the handler and returns its standard error.
    pub fn stop(mut self) -> String {
        self.kill();
        self.errors.take().expect("stopped once").join().expect("standard error")
    }

    fn kill(&mut self) {
        // Either fails only when the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Handler<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the host's interval between two connection attempts.
fn poll_again() {
    pause(Duration::from_millis(25));
}

/// Sleeps. Only for a time that is part of the test: a pause of the host, or the length of an outage. Never to wait for a
/// condition.
#[expect(clippy::disallowed_methods, reason = "the handler is another process, in real time")]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// Reads a child's standard error to its end.
fn errors(child: &mut Child) -> JoinHandle<String> {
    let mut stderr = child.stderr.take().expect("a pipe");
    thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).expect("standard error");
        String::from_utf8_lossy(&text).into_owned()
    })
}
