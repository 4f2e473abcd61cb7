//! Azurite: the blob and the queue service on this machine, as a child process.

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

/// The account that every Azurite has, and its key, as its documentation gives them.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Well-formed, and no account's.
pub const WRONG_KEY: &str = "bm90IHRoZSBrZXkgb2YgYW55IGFjY291bnQsIGJ1dCBsb25nIGVub3VnaA==";

/// The setting that the tests' connections are in.
pub const SETTING: &str = "DeadLetterStorage";

/// Where its packages are named, and how it is run.
const SOURCE: &str = "tests/azurite";

/// The ports of the blob and the queue service of an Azurite that runs already, separated by a comma: that of
/// `emulators/compose.yaml`, for example. The tests that start and stop one take their own all the same.
const GIVEN: &str = "DEVICESTATE_TEST_AZURITE";

/// How long it may take to start: it shares the machine with all other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// One for all tests that do not stop it; each uses names of its own in it.
pub static SHARED: LazyLock<Azurite> = LazyLock::new(Azurite::shared);

/// A running Azurite. One that was started here ends when this is dropped, or the test process ends in whatever way.
pub struct Azurite {
    pub blob_port: u16,
    pub queue_port: u16,
    _process: Option<Process>,
}

struct Process {
    child: Child,
    _open_while_it_runs: ChildStdin,
}

impl Azurite {
    fn shared() -> Self {
        let Ok(ports) = env::var(GIVEN) else { return Self::start([0, 0]) };
        let numbers: Option<Vec<u16>> = ports.split(',').map(|port| port.trim().parse().ok()).collect();
        let Some(&[blob_port, queue_port]) = numbers.as_deref() else { panic!("{GIVEN} are no two ports: {ports}") };
        Self { blob_port, queue_port, _process: None }
    }

    /// Starts one, and waits until it listens. Port 0 is one of the system's choice.
    pub fn start([blob_port, queue_port]: [u16; 2]) -> Self {
        let mut node = Command::new("node");
        node.arg(root().join(SOURCE).join("run.js")).args([blob_port, queue_port].map(|port| port.to_string()));
        node.env("NODE_PATH", INSTALLED.join("node_modules")).current_dir(&*INSTALLED);
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = node.spawn().expect("Node.js (the command node)");
        let stdin = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, receiver) = mpsc::channel();
        // Reads on to the end, so that the pipe never fills.
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut listens_on = |service: &str| {
            let begin = format!("Azurite {service} service is successfully listening at http://127.0.0.1:");
            loop {
                let Ok(line) = receiver.recv_timeout(PATIENCE) else {
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
        Self { blob_port, queue_port, _process: Some(Process { child, _open_while_it_runs: stdin }) }
    }

    /// Its connection string, with this key.
    pub fn connection_string(&self, key: &str) -> String {
        connection_string([self.blob_port, self.queue_port], &format!("AccountKey={key}"))
    }

    /// A connection with the right key.
    pub fn connection(&self) -> StorageConnection {
        connection(&self.connection_string(KEY))
    }

    /// A new queue; tests give their own names.
    pub async fn queue(&self, name: &str) -> StorageQueue {
        let queue = StorageQueue::new(&self.connection(), name).expect("a queue service");
        queue.create_if_missing().await.expect("a queue");
        queue
    }

    /// A service's address.
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

/// A connection string to the ports of blobs and queues on this machine.
pub fn connection_string([blob, queue]: [u16; 2], access: &str) -> String {
    let (blob, queue) = (Azurite::url(blob), Azurite::url(queue));
    format!("AccountName={ACCOUNT};{access};BlobEndpoint={blob};QueueEndpoint={queue};")
}

/// A connection by a connection string.
pub fn connection(text: &str) -> StorageConnection {
    let mut settings = Settings::default();
    settings.set(SETTING, text);
    StorageConnection::from_settings(&settings, SETTING).expect("a connection string").expect("a connection")
}

/// What the SDK's own clients need, where a test does what the product never does.
pub fn signing() -> ClientOptions {
    let key = SharedKey::new(ACCOUNT.to_owned(), Secret::new(KEY.to_owned()));
    ClientOptions { per_try_policies: vec![std::sync::Arc::new(key)], ..ClientOptions::default() }
}

/// The folder with Azurite's packages.
static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| install_packages(SOURCE));
