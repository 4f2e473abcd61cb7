//! Azurite, the emulator of blob and queue services, as a child process.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

use azure_core::{
    credentials::Secret,
    http::{ClientOptions, Url},
};
use devicestate_azure::{SharedKey, StorageConnection, StorageQueue};
use devicestate_engine::settings::Settings;
use devicestate_test_support::{npm::install_packages, root};

/// Azurite's default account and key, published in its documentation.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A well-formed key that no account has.
pub const WRONG_KEY: &str = "bm90IHRoZSBrZXkgb2YgYW55IGFjY291bnQsIGJ1dCBsb25nIGVub3VnaA==";

/// The setting with the connection of the tests.
pub const SETTING: &str = "DeadLetterStorage";

/// The folder with Azurite's lock file and the script that runs it.
const SOURCE: &str = "tests/azurite";

/// An environment variable with the ports, separated by a comma, of the blob and queue service of a running Azurite, such as
/// that of `emulators/compose.yaml`. Tests that start and stop an Azurite always use their own.
const PORTS_VARIABLE: &str = "DEVICESTATE_TEST_AZURITE";

/// Limits Azurite's start: it shares the machine with all other tests.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The Azurite shared by all tests that do not stop it. Each test uses its own names.
pub static SHARED: LazyLock<Azurite> = LazyLock::new(Azurite::shared);

/// A running Azurite. If these tests started it, it ends when this is dropped or the test process ends.
pub struct Azurite {
    pub blob_port: u16,
    pub queue_port: u16,
    _process: Option<Process>,
}

struct Process {
    child: Child,
    _stdin: ChildStdin,
}

impl Azurite {
    fn shared() -> Self {
        let Ok(ports) = env::var(PORTS_VARIABLE) else { return Self::start([0, 0]) };
        let numbers: Option<Vec<u16>> = ports.split(',').map(|port| port.trim().parse().ok()).collect();
        let Some(&[blob_port, queue_port]) = numbers.as_deref() else {
            panic!("{PORTS_VARIABLE} must be two ports, not {ports}")
        };
        Self { blob_port, queue_port, _process: None }
    }

    /// Starts Azurite and waits until it listens. The system chooses a port that is 0.
    pub fn start([blob_port, queue_port]: [u16; 2]) -> Self {
        let mut node = Command::new("node");
        node.arg(root().join(SOURCE).join("run.js")).args([blob_port, queue_port].map(|port| port.to_string()));
        node.env("NODE_PATH", INSTALLED.join("node_modules")).current_dir(&*INSTALLED);
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = node.spawn().expect("Node.js (the command node)");
        let stdin = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, receiver) = mpsc::channel();
        // Reads until the end, so that the pipe never fills.
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut listens_on = |service: &str| {
            let begin = format!("Azurite {service} service is successfully listening at http://127.0.0.1:");
            loop {
                let Ok(line) = receiver.recv_timeout(START_TIMEOUT) else {
                    let _ = child.kill();
                    let mut errors = String::new();
                    let _ = child.stderr.take().expect("a pipe").read_to_string(&mut errors);
                    panic!("Azurite does not listen: {errors}");
                };
                if let Some(port) = line.strip_prefix(&begin) {
                    return port.parse().expect("a port");
                }
            }
        };
        let (blob_port, queue_port) = (listens_on("Blob"), listens_on("Queue"));
        Self { blob_port, queue_port, _process: Some(Process { child, _stdin: stdin }) }
    }

    /// Returns the connection string with this key.
    pub fn connection_string(&self, key: &str) -> String {
        connection_string([self.blob_port, self.queue_port], &format!("AccountKey={key}"))
    }

    /// Returns a connection with the correct key.
    pub fn connection(&self) -> StorageConnection {
        connection(&self.connection_string(KEY))
    }

    /// Creates a queue.
    pub async fn queue(&self, name: &str) -> StorageQueue {
        let queue = StorageQueue::new(&self.connection(), name).expect("a queue service");
        queue.create_if_missing().await.expect("a queue");
        queue
    }

    /// Returns the URL of a service.
    pub fn url(port: u16) -> Url {
        Url::parse(&format!("http://127.0.0.1:{port}/{ACCOUNT}")).expect("an address")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only when the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a connection string to the blob and queue service at these ports of this machine.
pub fn connection_string([blob, queue]: [u16; 2], access: &str) -> String {
    let (blob, queue) = (Azurite::url(blob), Azurite::url(queue));
    format!("AccountName={ACCOUNT};{access};BlobEndpoint={blob};QueueEndpoint={queue};")
}

/// Parses a connection string.
pub fn connection(text: &str) -> StorageConnection {
    let mut settings = Settings::default();
    settings.set(SETTING, text);
    StorageConnection::from_settings(&settings, SETTING).expect("a connection string").expect("a connection")
}

/// Returns options for the SDK's clients, which tests use for requests that the product never sends.
pub fn signing_options() -> ClientOptions {
    let key = SharedKey::new(ACCOUNT.to_owned(), Secret::new(KEY.to_owned()));
    ClientOptions { per_try_policies: vec![std::sync::Arc::new(key)], ..ClientOptions::default() }
}

/// The folder with Azurite's packages.
static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| install_packages(SOURCE));
