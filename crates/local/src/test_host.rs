//! A host for tests of how brokers are read. Its handler is a server in the test, which decides when and what to reply.

use std::{net::Ipv4Addr, path::Path, sync::Arc, sync::atomic::Ordering::Relaxed};

use devicestate_engine::{clock::System, queue::DeadLetterQueue as _};
use devicestate_sqlite::{Database, OpenMode};
use devicestate_terminal::interrupt::Shutdown;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    broker::{Broker, PartitionAssignment},
    documents::Documents,
    host::{Host, Instance},
    options::{Input, Options, Sessions},
    process::Process,
    setup::{RegionConfig, Setup},
};

/// A host, its shutdown, and the invocations that its handler receives.
pub(crate) struct TestHost {
    pub(crate) host: Arc<Host>,
    pub(crate) shutdown: watch::Sender<Shutdown>,
    invocations: mpsc::UnboundedReceiver<Invocation>,
    _folder: TempDir,
}

/// An invocation that waits for its reply.
pub(crate) struct Invocation {
    pub(crate) id: String,
    pub(crate) body: Value,
    reply: oneshot::Sender<(u16, Value)>,
}

impl TestHost {
    /// Returns a host of the shipped app's function for events, or for messages of sessions.
    pub(crate) async fn new(has_sessions: bool, edit: impl FnOnce(&mut Instance)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options {
            pack: 1,
            app_root: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")),
            input: Input::Sample,
            invalid_events: None,
            partitions: 1,
            sessions: has_sessions.then_some(Sessions { max_delivery_count: 10 }),
            instances: 1,
            front: None,
            rate: None,
            throughput_units: None,
            backdate_ms: 0,
            should_check: false,
            state: Some(folder.path().join("state.db")),
            telemetry: None,
            verbose: false,
            documents: |_| Ok(Documents::Memory),
        };
        let setup = Setup::new(&options).expect("the shipped app");
        let config = RegionConfig {
            namespace: "devicestate-local",
            clock: Arc::new(System),
            queue: Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a new file"),
            settings: setup.settings.clone(),
        };
        let mut instance = setup.instance(config).expect("the shipped app");
        edit(&mut instance);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let process = Process::ready(listener.local_addr().expect("an address").port());
        let (sender, invocations) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, sender.clone()));
            }
        });
        let shutdown = watch::Sender::new(Shutdown::Running);
        let host = Host { instance: Arc::new(instance), process, shutdown: shutdown.subscribe() };
        Self { host: Arc::new(host), shutdown, invocations, _folder: folder }
    }

    /// Starts to read all of a broker.
    pub(crate) fn read<B: Broker>(&self, broker: &Arc<B>) -> JoinHandle<()> {
        let assignment = PartitionAssignment { index: 0, count: 1 };
        tokio::spawn(Arc::clone(broker).read(Arc::clone(&self.host), assignment))
    }

    /// Waits for the next invocation.
    pub(crate) async fn invocation(&mut self) -> Invocation {
        self.invocations.recv().await.expect("the server runs")
    }

    /// Lets all tasks run that can.
    pub(crate) async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Returns whether an invocation waits for a reply that the test has not seen.
    pub(crate) fn has_invocation(&self) -> bool {
        !self.invocations.is_empty()
    }

    /// Waits until this many attempts have failed.
    pub(crate) async fn wait_for_failed_attempts(&self, count: u64) {
        while self.host.instance.statistics.failed_attempts.load(Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }

    /// Returns the number of messages in the dead-letter queue.
    pub(crate) async fn dead_letters(&self) -> u64 {
        self.host.instance.queue.count().await.expect("the file")
    }
}

impl Invocation {
    /// Replies with success and one dead letter.
    pub(crate) fn succeed(self) {
        self.reply(200, json!({ "Outputs": { "deadLetterMessages": ["x"] }, "Logs": [] }));
    }

    /// Replies with 503.
    pub(crate) fn fail(self) {
        self.reply(503, json!({ "error": "unavailable" }));
    }

    fn reply(self, status: u16, body: Value) {
        // The host may have given up.
        let _ = self.reply.send((status, body));
    }

    /// Returns a value of the metadata, which is JSON in a string unless it is an object.
    pub(crate) fn metadata(&self, name: &str) -> Value {
        match &self.body["Metadata"][name] {
            Value::String(text) => serde_json::from_str(text).expect("JSON"),
            value => value.clone(),
        }
    }

    /// Returns the sequence numbers of a batch.
    pub(crate) fn sequence_numbers(&self) -> Vec<i64> {
        serde_json::from_value(self.metadata("SequenceNumberArray")).expect("numbers")
    }
}

/// Serves a connection with chunked requests, one after another.
async fn serve(mut connection: TcpStream, invocations: mpsc::UnboundedSender<Invocation>) {
    const END: &[u8] = b"\r\n0\r\n\r\n";
    let mut request = Vec::new();
    while connection.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        if !request.ends_with(END) {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        // JSON has no line ends, so every second line is a chunk.
        let body: String = body.split("\r\n").skip(1).step_by(2).collect();
        let is_id = |line: &&str| line.to_ascii_lowercase().starts_with("x-azure-functions-invocationid");
        let id = head.lines().find(is_id).expect("an id").to_owned();
        let (reply, replied) = oneshot::channel();
        let body = serde_json::from_str(&body).expect("JSON");
        invocations.send(Invocation { id, body, reply }).expect("the test runs");
        let Ok((status, body)) = replied.await else { return };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        if connection.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}
