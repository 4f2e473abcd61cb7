//! One process of the handler: how the host starts it, waits until it is ready, and reads its output.

use std::{
    collections::VecDeque,
    io,
    net::Ipv4Addr,
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
    sync::Notify,
    time::{Instant, sleep},
};

use crate::monitor::{Monitor, OutputStream};

/// How often the host checks whether a starting handler is ready.
const PROBE_INTERVAL: Duration = Duration::from_millis(25);

/// Limits the lines of a handler's standard error that the host shows when the handler exits.
const MAX_ERROR_LINES: usize = 3;

/// Limits the wait for the end of standard error after a handler has ended.
const MAX_OUTPUT_WAIT: Duration = Duration::from_secs(1);

/// The handler's command, folder and environment.
#[derive(Debug, Clone)]
pub(crate) struct StartInfo {
    pub(crate) executable: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) directory: PathBuf,
    pub(crate) app_root: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) initialization_timeout: Duration,
}

/// The destination of the handler's output: the monitor, under the name of the instance.
#[derive(Debug, Clone)]
pub(crate) struct LogSink {
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) instance: String,
}

impl StartInfo {
    /// Reads the app's host.json. `environment` is what the host passes to a handler.
    pub(crate) fn new(app: &FunctionApp, environment: Vec<(String, String)>) -> io::Result<Self> {
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

/// Why a process ended.
pub(super) enum ExitReason {
    /// It exited with this code; `None` if a signal ended it.
    Exited(Option<i32>),
    /// The host killed it, because an invocation took too long.
    TimedOut,
    /// The host stops.
    Stopped,
    /// It could not be started, or was not ready in time.
    Failed(String),
}

/// Requests to end a running process.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) time_out: Notify,
    pub(super) crash: Notify,
    pub(super) stop: Notify,
}

/// Starts the process, waits until it is ready, and then until it ends.
pub(super) async fn run(
    start: &StartInfo,
    log_sink: &LogSink,
    port: u16,
    on_ready: impl FnOnce(),
    requests: &Requests,
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
        () = requests.time_out.notified() => ExitReason::TimedOut,
        // As if another program had killed it.
        () = requests.crash.notified() => ExitReason::Exited(None),
        () = requests.stop.notified() => ExitReason::Stopped,
        failed = async {
            if poll_until_ready(port, start.initialization_timeout).await {
                on_ready();
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
        () = requests.stop.notified() => ExitReason::Stopped,
    }
}

fn spawn(start: &StartInfo, port: u16) -> io::Result<Child> {
    let mut command = Command::new(&start.executable);
    command
        // The host joins the arguments by blanks and quotes none.
        .args(start.arguments.iter().flat_map(|argument| argument.split_whitespace()))
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
