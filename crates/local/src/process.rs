//! The handler's process, as the Functions host runs it: started from host.json and restarted by the host's rules.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, TcpListener as StdTcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use devicestate_engine::{function_app::FunctionApp, text::error_message};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::monitor::{Monitor, OutputStream};

/// How often the host checks whether a starting handler is ready.
const PROBE_INTERVAL: Duration = Duration::from_millis(25);

/// The third error within this window stops the host.
const ERROR_WINDOW: Duration = Duration::from_mins(30);
const ERRORS_TO_STOP: usize = 3;

/// An exit code that requests a restart and is not an error.
const RESTART_EXIT_CODE: i32 = 200;

/// Limits the lines of a handler's standard error that the host shows when the handler exits.
const MAX_ERROR_LINES: usize = 3;

/// Limits the wait for the end of standard error after a handler has ended.
const MAX_OUTPUT_WAIT: Duration = Duration::from_secs(1);

/// The state of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Not ready yet.
    Starting,
    /// It answers requests.
    Ready,
    /// It exited with code 0. The host does not restart it, so every batch fails.
    Exited,
    /// It failed too often, so the host stops. With the reason and the last lines of its standard error.
    Failed(String),
}

/// The handler's process and its restarts, until [`Process::stop`].
pub(super) struct Process {
    pub(super) port: u16,
    state: Arc<watch::Sender<State>>,
    kill: Arc<Notify>,
    stop: Arc<Notify>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// The handler's command, folder and environment.
#[derive(Debug, Clone)]
pub(super) struct StartInfo {
    pub(super) executable: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) directory: PathBuf,
    pub(super) app_root: PathBuf,
    pub(super) environment: Vec<(String, String)>,
    pub(super) initialization_timeout: Duration,
}

/// The destination of the handler's output: the monitor, under the name of the instance.
#[derive(Debug, Clone)]
pub(super) struct LogSink {
    pub(super) monitor: Arc<Monitor>,
    pub(super) instance: String,
}

impl StartInfo {
    /// Reads the app's host.json. `environment` is what the host passes to a handler.
    pub(super) fn new(app: &FunctionApp, environment: Vec<(String, String)>) -> io::Result<Self> {
        let description = &app.host.custom_handler.description;
        let app_root = app.root.canonicalize()?;
        let directory = app_root.join(&description.working_directory).canonicalize()?;
        Ok(Self {
            executable: find_executable(&directory, &description.default_executable_path),
            arguments: description.arguments.clone(),
            directory,
            app_root,
            environment,
            initialization_timeout: app.host.custom_handler.initialization_timeout,
        })
    }
}

/// Returns the executable. The host prefers a file in the app's folder to a command on the PATH. This stand-in also accepts
/// this program itself if it has the name, because a build folder and the app's folder are different.
fn find_executable(directory: &Path, name: &str) -> PathBuf {
    let in_app = directory.join(name);
    let this_program = std::env::current_exe().ok().filter(|path| path.file_stem().is_some_and(|stem| stem == name));
    if in_app.is_file() { in_app } else { this_program.unwrap_or_else(|| PathBuf::from(name)) }
}

impl Process {
    /// Starts the process on a free port, and restarts it when it exits. `on_restart` runs before each restart.
    pub(super) fn start(
        start: StartInfo,
        log_sink: LogSink,
        on_restart: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let port = StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let state = Arc::new(watch::Sender::new(State::Starting));
        let (kill, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let requests = (Arc::clone(&kill), Arc::clone(&stop));
        let supervisor = tokio::spawn(supervise(start, log_sink, port, Arc::clone(&state), requests, on_restart));
        Ok(Self { port, state, kill, stop, supervisor: Mutex::new(Some(supervisor)) })
    }

    /// Kills the process, as the host does when an invocation takes longer than `functionTimeout`. It is restarted.
    pub(super) fn kill(&self) {
        // Before the kill, so that no other batch is sent to this process.
        self.state.send_replace(State::Starting);
        self.kill.notify_waiters();
    }

    /// Kills the process and waits for its end. Without the wait, this program could exit first and leave the process running, and
    /// the state file would still be open.
    pub(super) async fn stop(&self) {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor {
            self.stop.notify_one();
            let _ = supervisor.await;
        }
    }

    /// Returns a receiver of the process's states.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Returns whether the process has failed too often, so that the host stops.
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(_))
    }

    /// Waits until the process answers requests.
    ///
    /// # Errors
    ///
    /// It will never be ready.
    pub(super) async fn wait_until_ready(&self) -> Result<(), String> {
        let mut state = self.watch();
        let state = state.wait_for(|state| *state != State::Starting).await;
        match state.as_deref() {
            Ok(State::Ready) => Ok(()),
            Ok(State::Exited) => Err("the handler exited with exit code 0 and is not restarted".into()),
            Ok(State::Failed(reason)) => Err(reason.clone()),
            Ok(State::Starting) | Err(_) => Err("the host is stopping".into()),
        }
    }
}

/// Why a process ended.
enum ExitReason {
    /// It exited with this code; `None` if a signal ended it.
    Exited(Option<i32>),
    /// The host killed it, which does not count as an error of the handler.
    Killed,
    /// The host stops.
    Stopped,
    /// It could not be started, or was not ready in time.
    Failed(String),
}

/// Runs the process and restarts it, until it exits with 0 or has failed too often.
async fn supervise(
    start: StartInfo,
    log_sink: LogSink,
    port: u16,
    state: Arc<watch::Sender<State>>,
    (kill, stop): (Arc<Notify>, Arc<Notify>),
    on_restart: impl Fn() + Send,
) {
    let mut errors: VecDeque<Instant> = VecDeque::new();
    loop {
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let ended = run(&start, &log_sink, port, &state, (&kill, &stop), &last_lines).await;
        state.send_replace(State::Starting);
        let error = match ended {
            ExitReason::Exited(Some(0)) => {
                state.send_replace(State::Exited);
                return;
            }
            ExitReason::Stopped => return,
            ExitReason::Exited(Some(RESTART_EXIT_CODE)) | ExitReason::Killed => None,
            ExitReason::Exited(Some(code)) => Some(format!("exited with exit code {code}")),
            ExitReason::Exited(None) => Some("was killed by a signal".to_owned()),
            ExitReason::Failed(reason) => Some(reason),
        };
        if let Some(error) = error {
            errors.push_back(Instant::now());
            while errors.front().is_some_and(|time| time.elapsed() > ERROR_WINDOW) {
                errors.pop_front();
            }
            if errors.len() >= ERRORS_TO_STOP {
                let lines = Vec::from(std::mem::take(&mut *last_lines.lock().unwrap_or_else(PoisonError::into_inner)));
                state.send_replace(State::Failed(format!("the handler {error}{}", in_one_line(&lines))));
                return;
            }
        }
        on_restart();
    }
}

/// Returns the last lines of a standard error in one line: the error of this program's own handler, or all of them.
fn in_one_line(lines: &[String]) -> String {
    let own = lines.iter().rev().find_map(|line| line.strip_prefix("devicestate: "));
    match own {
        Some(error) => format!(": {error}"),
        None if lines.is_empty() => String::new(),
        None => format!(": {}", lines.join(" / ")),
    }
}

/// Starts the process, waits until it is ready, and then until it ends.
async fn run(
    start: &StartInfo,
    log_sink: &LogSink,
    port: u16,
    state: &watch::Sender<State>,
    (kill, stop): (&Notify, &Notify),
    last_lines: &Arc<Mutex<VecDeque<String>>>,
) -> ExitReason {
    let mut child = match spawn(start, port) {
        Ok(child) => child,
        Err(error) => {
            let executable = start.executable.display();
            return ExitReason::Failed(format!("{executable} cannot be started: {}", error_message(&error)));
        }
    };
    // Kept open as long as this process lives: its end stops the handler. `Child::wait` would close it.
    let stdin = child.stdin.take();
    let LogSink { monitor, instance } = log_sink.clone();
    tokio::spawn(read_lines(child.stdout.take(), move |line| {
        monitor.write_console(&instance, OutputStream::Standard, &line);
    }));
    let last = Arc::clone(last_lines);
    let LogSink { monitor, instance } = log_sink.clone();
    let stderr = tokio::spawn(read_lines(child.stderr.take(), move |line| {
        monitor.write_console(&instance, OutputStream::Error, &line);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == MAX_ERROR_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }));
    let ended = tokio::select! {
        ended = child.wait() => ExitReason::Exited(ended.ok().and_then(|status| status.code())),
        () = kill.notified() => ExitReason::Killed,
        () = stop.notified() => ExitReason::Stopped,
        failed = async {
            if poll_until_ready(port, start.initialization_timeout).await {
                state.send_replace(State::Ready);
                std::future::pending::<()>().await;
            }
        } => {
            let () = failed;
            let limit = start.initialization_timeout;
            ExitReason::Failed(format!("did not answer GET / within {limit:?} (customHandler.initializationTimeout)"))
        }
    };
    let _ = child.kill().await;
    drop(stdin);
    if matches!(ended, ExitReason::Stopped) {
        return ended;
    }
    tokio::select! {
        _ = stderr => ended,
        // A process that the handler started may outlive it and hold the pipe.
        () = sleep(MAX_OUTPUT_WAIT) => ended,
        () = stop.notified() => ExitReason::Stopped,
    }
}

fn spawn(start: &StartInfo, port: u16) -> io::Result<Child> {
    let mut command = Command::new(&start.executable);
    command
        .args(&start.arguments)
        .current_dir(&start.directory)
        .envs(start.environment.iter().cloned())
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
        .env("FUNCTIONS_HTTPWORKER_PORT", port.to_string())
        .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", uuid::Uuid::new_v4().to_string())
        .env("FUNCTIONS_APP_ROOT_PATH", &start.app_root)
        // So that the handler ends with this process, however this process ends.
        .env("StopAtEndOfInput", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // Ctrl-C must stop only this process: the handler is still needed for batches in flight.
    #[cfg(unix)]
    command.process_group(0);
    command.spawn()
}

/// Reads lines to the end, and calls a function with each.
async fn read_lines(from: Option<impl AsyncRead + Unpin>, mut line: impl FnMut(String)) {
    let Some(from) = from else { return };
    let mut reader = BufReader::new(from);
    let mut bytes = Vec::new();
    // Everything is read, because a handler would block on a full pipe.
    while reader.read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
        line(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned());
        bytes.clear();
    }
}

/// Sends `GET /` until the handler answers with any status. Returns false if it does not within the time.
async fn poll_until_ready(port: u16, within: Duration) -> bool {
    let until = Instant::now() + within;
    while Instant::now() < until {
        if tokio::time::timeout_at(until, probe(port)).await.is_ok_and(|answer| answer.is_ok()) {
            return true;
        }
        sleep(PROBE_INTERVAL).await;
    }
    false
}

async fn probe(port: u16) -> io::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection
        .write_all(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut start = [0; 8];
    connection.read_exact(&mut start).await?;
    if start.starts_with(b"HTTP/1.") { Ok(()) } else { Err(io::Error::other("the answer is not HTTP")) }
}
