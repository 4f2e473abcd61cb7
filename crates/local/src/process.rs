//! The handler's process, as the Functions host keeps it: started from host.json, restarted by the host's rules.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, TcpListener as StdTcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use devicestate_engine::function_app::FunctionApp;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::monitor::{Monitor, Output};

/// What the host asks of a handler that starts.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// The third error within this window stops the host.
const ERROR_WINDOW: Duration = Duration::from_mins(30);
const ERRORS_TO_STOP: usize = 3;

/// An exit code that asks for a restart and is no error.
const RESTART: i32 = 200;

/// How many lines of standard error the host shows when a handler ends.
const LAST_LINES: usize = 3;

/// How the process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Not ready yet.
    Starting,
    /// It answers.
    Ready,
    /// It ended with 0, and the host does not start it again: every batch fails.
    Gone,
    /// It ended with errors too often, and the host stops. With what it said last.
    GaveUp(String),
}

/// The handler's process and its restarts, until [`Process::stop`].
pub(super) struct Process {
    pub(super) port: u16,
    state: Arc<watch::Sender<State>>,
    kill: Arc<Notify>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// How to start the handler.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) executable: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) directory: PathBuf,
    pub(super) app_root: PathBuf,
    pub(super) environment: Vec<(String, String)>,
    pub(super) initialization_timeout: Duration,
}

/// Who hears what the handler says: the monitor, under the name of the instance.
#[derive(Debug, Clone)]
pub(super) struct Ears {
    pub(super) monitor: Arc<Monitor>,
    pub(super) instance: String,
}

impl Start {
    /// From the app's host.json, with the environment that the host gives to a handler.
    pub(super) fn new(app: &FunctionApp, environment: Vec<(String, String)>) -> std::io::Result<Self> {
        let description = &app.host.custom_handler.description;
        let app_root = app.root.canonicalize()?;
        let directory = app_root.join(&description.working_directory).canonicalize()?;
        Ok(Self {
            executable: executable(&directory, &description.default_executable_path),
            arguments: description.arguments.clone(),
            directory,
            app_root,
            environment,
            initialization_timeout: app.host.custom_handler.initialization_timeout,
        })
    }
}

/// The host takes a file in the app's folder before a command on the PATH. Between the two stands this program itself,
/// when it has the name: from a build folder, the app's files and the binary lie apart.
fn executable(directory: &Path, name: &str) -> PathBuf {
    let in_app = directory.join(name);
    let itself = std::env::current_exe().ok().filter(|path| path.file_stem().is_some_and(|stem| stem == name));
    if in_app.is_file() { in_app } else { itself.unwrap_or_else(|| PathBuf::from(name)) }
}

impl Process {
    /// Starts the process on a free port, and keeps it running.
    pub(super) fn start(start: Start, ears: Ears, on_restart: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let port = StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let state = Arc::new(watch::Sender::new(State::Starting));
        let kill = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(start, ears, port, Arc::clone(&state), Arc::clone(&kill), on_restart));
        Ok(Self { port, state, kill, keeper: Mutex::new(Some(keeper)) })
    }

    /// Kills the process, as the host does when an invocation takes longer than `functionTimeout`. It is started again.
    pub(super) fn kill(&self) {
        // At once, so that no other batch is sent to a process that is about to go.
        self.state.send_replace(State::Starting);
        self.kill.notify_waiters();
    }

    /// Ends the process, killed as the host would. It is gone when this returns: without that wait, this program could
    /// end first and leave it behind.
    pub(super) async fn stop(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            keeper.abort();
            // The child was dropped with the task that kept it, and so killed.
            let _ = keeper.await;
        }
    }

    /// How the process is, from now on.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Whether the host stops because of it.
    pub(super) fn gave_up(&self) -> bool {
        matches!(*self.state.borrow(), State::GaveUp(_))
    }

    /// Waits until the process answers; an error when it never will.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut state = self.watch();
        let state = state.wait_for(|state| *state != State::Starting).await;
        match state.as_deref() {
            Ok(State::Ready) => Ok(()),
            Ok(State::Gone) => Err("the handler ended with exit code 0 and is not started again".into()),
            Ok(State::GaveUp(reason)) => Err(reason.clone()),
            Ok(State::Starting) | Err(_) => Err("the host is stopping".into()),
        }
    }
}

/// How one run of the process ended.
enum Ended {
    /// By itself, with a code unless a signal ended it.
    Exit(Option<i32>),
    /// Killed by the host, which is no error of the handler.
    Killed,
    /// It could not be started, or did not answer in time.
    Failed(String),
}

async fn keep(
    start: Start,
    ears: Ears,
    port: u16,
    state: Arc<watch::Sender<State>>,
    kill: Arc<Notify>,
    on_restart: impl Fn() + Send,
) {
    let mut errors: VecDeque<Instant> = VecDeque::new();
    loop {
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let ended = run(&start, &ears, port, &state, &kill, &said).await;
        state.send_replace(State::Starting);
        let what = match ended {
            Ended::Exit(Some(0)) => {
                state.send_replace(State::Gone);
                return;
            }
            Ended::Exit(Some(RESTART)) | Ended::Killed => None,
            Ended::Exit(Some(code)) => Some(format!("ended with exit code {code}")),
            Ended::Exit(None) => Some("was ended by a signal".to_owned()),
            Ended::Failed(reason) => Some(reason),
        };
        if let Some(what) = what {
            errors.push_back(Instant::now());
            while errors.front().is_some_and(|time| time.elapsed() > ERROR_WINDOW) {
                errors.pop_front();
            }
            if errors.len() >= ERRORS_TO_STOP {
                let said = Vec::from(std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner)));
                let said = if said.is_empty() { String::new() } else { format!("; it said:\n  {}", said.join("\n  ")) };
                state.send_replace(State::GaveUp(format!("the handler {what}{said}")));
                return;
            }
        }
        on_restart();
    }
}

/// Starts the process, waits until it answers, and then until it ends.
async fn run(
    start: &Start,
    ears: &Ears,
    port: u16,
    state: &watch::Sender<State>,
    kill: &Notify,
    said: &Arc<Mutex<VecDeque<String>>>,
) -> Ended {
    let mut child = match spawn(start, port) {
        Ok(child) => child,
        Err(error) => return Ended::Failed(format!("cannot be started: {}: {error}", start.executable.display())),
    };
    let Ears { monitor, instance } = ears.clone();
    tokio::spawn(lines(child.stdout.take(), move |line| monitor.console(&instance, Output::Standard, &line)));
    let last = Arc::clone(said);
    let Ears { monitor, instance } = ears.clone();
    let stderr = tokio::spawn(lines(child.stderr.take(), move |line| {
        monitor.console(&instance, Output::Errors, &line);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }));
    let ended = tokio::select! {
        ended = child.wait() => Ended::Exit(ended.ok().and_then(|status| status.code())),
        () = kill.notified() => Ended::Killed,
        failed = async {
            if answers(port, start.initialization_timeout).await {
                state.send_replace(State::Ready);
                std::future::pending::<()>().await;
            }
        } => {
            let () = failed;
            let limit = start.initialization_timeout;
            Ended::Failed(format!("did not answer GET / within {limit:?} (customHandler.initializationTimeout)"))
        }
    };
    let _ = child.kill().await;
    let _ = stderr.await;
    ended
}

fn spawn(start: &Start, port: u16) -> std::io::Result<Child> {
    let mut command = Command::new(&start.executable);
    command
        .args(&start.arguments)
        .current_dir(&start.directory)
        .envs(start.environment.iter().cloned())
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
        .env("FUNCTIONS_HTTPWORKER_PORT", port.to_string())
        .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", uuid::Uuid::new_v4().to_string())
        .env("FUNCTIONS_APP_ROOT_PATH", &start.app_root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // Ctrl-C is for this process: the handler is still needed for what is in flight.
    #[cfg(unix)]
    command.process_group(0);
    command.spawn()
}

async fn lines(from: Option<impl AsyncRead + Unpin>, mut line: impl FnMut(String)) {
    let Some(from) = from else { return };
    let mut reader = BufReader::new(from);
    let mut bytes = Vec::new();
    // Whatever it writes is read: a handler must not choke on a pipe that nobody empties.
    while reader.read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
        line(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned());
        bytes.clear();
    }
}

/// `GET /` until the handler answers, with whatever status.
async fn answers(port: u16, within: Duration) -> bool {
    let until = Instant::now() + within;
    while Instant::now() < until {
        if tokio::time::timeout_at(until, ask(port)).await.is_ok_and(|answer| answer.is_ok()) {
            return true;
        }
        sleep(ASK_EVERY).await;
    }
    false
}

async fn ask(port: u16) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection
        .write_all(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut start = [0; 8];
    connection.read_exact(&mut start).await?;
    if start.starts_with(b"HTTP/1.") { Ok(()) } else { Err(std::io::Error::other("that is no HTTP")) }
}
