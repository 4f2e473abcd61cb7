//! Azurite: the blob and the queue service on this machine, as a child process.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

use azure_core::{
    credentials::Secret,
    http::{ClientOptions, Url},
};
use devicestate::{
    azure::{SharedKey, StorageConnection},
    queue::StorageQueue,
    settings::Settings,
};

use crate::support::sha256;

/// The account that every Azurite has, and its key, as its documentation gives them.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Well-formed, and no account's.
pub(crate) const WRONG_KEY: &str = "bm90IHRoZSBrZXkgb2YgYW55IGFjY291bnQsIGJ1dCBsb25nIGVub3VnaA==";

/// The setting that the tests' connections are in.
pub(crate) const SETTING: &str = "DeadLetterStorage";

/// How long it may take to start: it shares the machine with all other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// One for all tests that do not stop it; each uses names of its own in it.
pub(crate) static SHARED: LazyLock<Azurite> = LazyLock::new(|| Azurite::start([0, 0]));

/// A running Azurite. It ends when this is dropped, or the test process ends in whatever way.
pub(crate) struct Azurite {
    pub(crate) blob_port: u16,
    pub(crate) queue_port: u16,
    child: Child,
    _open_while_it_runs: ChildStdin,
}

impl Azurite {
    /// Starts one, and waits until it listens. Port 0 is one of the system's choice.
    pub(crate) fn start([blob_port, queue_port]: [u16; 2]) -> Self {
        let mut node = Command::new("node");
        node.arg(source().join("run.js")).args([blob_port, queue_port].map(|port| port.to_string()));
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
        Self { blob_port, queue_port, child, _open_while_it_runs: stdin }
    }

    /// Its connection string, with this key.
    pub(crate) fn connection_string(&self, key: &str) -> String {
        connection_string([self.blob_port, self.queue_port], &format!("AccountKey={key}"))
    }

    /// A connection with the right key.
    pub(crate) fn connection(&self) -> StorageConnection {
        connection(&self.connection_string(KEY))
    }

    /// A new queue; tests give their own names.
    pub(crate) async fn queue(&self, name: &str) -> StorageQueue {
        let queue = StorageQueue::new(&self.connection(), name).expect("a queue service");
        queue.create_if_missing().await.expect("a queue");
        queue
    }

    /// A service's address.
    pub(crate) fn url(port: u16) -> Url {
        Url::parse(&format!("http://127.0.0.1:{port}/{ACCOUNT}")).expect("an address")
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // Either fails only when the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection string to the ports of blobs and queues on this machine.
pub(crate) fn connection_string([blob, queue]: [u16; 2], access: &str) -> String {
    let (blob, queue) = (Azurite::url(blob), Azurite::url(queue));
    format!("AccountName={ACCOUNT};{access};BlobEndpoint={blob};QueueEndpoint={queue};")
}

/// A connection by a connection string.
pub(crate) fn connection(text: &str) -> StorageConnection {
    let mut settings = Settings::default();
    settings.set(SETTING, text);
    StorageConnection::from_settings(&settings, SETTING).expect("a connection string").expect("a connection")
}

/// What the SDK's own clients need, where a test does what the product never does.
pub(crate) fn signing() -> ClientOptions {
    let key = SharedKey::new(ACCOUNT.to_owned(), Secret::new(KEY.to_owned()));
    ClientOptions { per_try_policies: vec![std::sync::Arc::new(key)], ..ClientOptions::default() }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azurite")
}

/// The folder with Azurite's packages: one for each content of the lock file, whichever process needs it first.
static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
    let packages = fs::read(source().join("package-lock.json")).expect("a file of this repository");
    let name = format!("azurite-{}", &sha256(&packages)[..16]);
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (folder, unfinished) = (all.join(&name), all.join(format!("{name}.unfinished")));
    fs::create_dir_all(all).expect("the target folder");
    // The system gives the lock back when its holder ends, in whatever way.
    let lock = File::create(all.join(format!("{name}.lock"))).expect("a file in the target folder");
    lock.lock().expect("a lock");
    if !folder.exists() {
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).expect("a folder in the target folder");
        }
        fs::create_dir(&unfinished).expect("a folder in the target folder");
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source().join(file), unfinished.join(file)).expect("a file of this repository");
        }
        let mut npm = Command::new("npm");
        npm.arg("ci").arg("--prefix").arg(&unfinished).args(["--ignore-scripts", "--no-audit", "--no-fund"]);
        let output = npm.current_dir(&unfinished).output().expect("Node.js (the command npm)");
        assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&unfinished, &folder).expect("a folder in the target folder");
    }
    folder
});
