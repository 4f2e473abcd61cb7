//! A test bench: a queue with dead letters, documents, and the command `devicestate dead-letters`.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use azure_storage_blob::{BlobClient, BlobClientOptions};
use azure_storage_queue::{
    QueueServiceClient, QueueServiceClientOptions,
    models::{QueueClientSendMessageOptions, QueueMessage},
};
use devicestate_azure::StorageQueue;
use devicestate_engine::{clock::System, queue::DeadLetterQueue};
use devicestate_sqlite::{Database, OpenMode, SqliteQueue};
use devicestate_test_support::{App, Batch, Event, Reply, base64, from_base64, listener::Listener, read_output};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::azurite::{Azurite, KEY, SETTING, SHARED, connection, connection_string, signing_options};

/// A function app with its documents and dead letters. They are either in one SQLite file, or as in Azure: documents in a
/// Cosmos DB account, dead letters in Azurite's queues, the large ones in its blobs.
pub struct Bench {
    pub app: App,
    /// The Cosmos DB account, in which a test can inject faults.
    pub cosmos: Option<Listener>,
    /// The name in Azurite of the queue and of the container of large dead letters.
    storage: Option<String>,
    runtime: Runtime,
}

/// The output of a command.
pub struct CommandOutput {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Bench {
    /// Creates a bench with the queue and the documents in a state file.
    pub fn local() -> Self {
        let app = App::shipped();
        let bench = Self { app, cosmos: None, storage: None, runtime: Runtime::new().expect("a runtime") };
        Database::open(&bench.state(), OpenMode::Create).expect("a state file");
        bench
    }

    /// Creates a bench with the queue in a state file and the documents in a Cosmos DB account.
    pub fn local_with_account() -> Self {
        let mut bench = Self::local();
        let cosmos = Listener::start();
        let app = bench.app.without("SqlitePath").with("StateStore", "cosmos");
        bench.app = app.with("CosmosConnection", cosmos.connection_string());
        bench.cosmos = Some(cosmos);
        bench
    }

    /// Adds a setting.
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.app = self.app.with(setting, value);
        self
    }

    /// Returns the Cosmos DB account.
    pub fn account(&self) -> &Listener {
        self.cosmos.as_ref().expect("a bench with an account")
    }

    /// Creates a bench with the queue in Azurite.
    pub fn azurite() -> Self {
        Self::through_proxy([SHARED.blob_port, SHARED.queue_port])
    }

    /// Creates a bench with the queue in Azurite, which the command accesses through proxies at these ports of blobs and queues.
    pub fn through_proxy(ports: [u16; 2]) -> Self {
        static QUEUES: AtomicU32 = AtomicU32::new(0);
        let name = format!("tools-{}-{}", std::process::id(), QUEUES.fetch_add(1, Relaxed));
        let cosmos = Listener::start();
        let app = App::shipped()
            .without("SqlitePath")
            .with("StateStore", "cosmos")
            .with("CosmosConnection", cosmos.connection_string())
            .with(SETTING, connection_string(ports, &format!("AccountKey={KEY}")))
            .with("DeadLetterContainer", &name)
            .with_function(|function| function["bindings"][1]["queueName"] = name.as_str().into());
        let bench =
            Self { app, cosmos: Some(cosmos), storage: Some(name), runtime: Runtime::new().expect("a runtime") };
        let queue = bench.storage_queue();
        bench.runtime.block_on(queue.create_if_missing()).expect("a queue");
        bench
    }

    pub fn state(&self) -> PathBuf {
        self.app.path("state.db")
    }

    pub fn is_local(&self) -> bool {
        self.storage.is_none()
    }

    /// Returns the queue, for operations that the command does not have. Never through a proxy.
    pub fn queue(&self) -> Box<dyn DeadLetterQueue> {
        if self.is_local() {
            let database = Database::open(&self.state(), OpenMode::Existing).expect("a state file");
            return Box::new(SqliteQueue::new(database, Arc::new(System)));
        }
        Box::new(self.storage_queue())
    }

    fn storage_queue(&self) -> StorageQueue {
        let name = self.storage.as_deref().expect("a name");
        let ports = [SHARED.blob_port, SHARED.queue_port];
        let connection = connection(&connection_string(ports, &format!("AccountKey={KEY}")));
        StorageQueue::new(&connection.with_tool_retries(), name).expect("a queue service")
    }

    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Puts a message.
    pub fn put(&self, body: impl AsRef<[u8]>) {
        let queue = self.queue();
        self.wait_for(queue.put(body.as_ref())).expect("put");
    }

    /// Puts a message that expires after seven days, as the Functions binding does. For a Storage queue only.
    pub fn put_expiring(&self, body: impl AsRef<[u8]>) {
        let options =
            QueueServiceClientOptions { client_options: signing_options(), ..QueueServiceClientOptions::default() };
        let service = QueueServiceClient::new(Azurite::url(SHARED.queue_port), None, Some(options)).expect("a service");
        let client = service.queue_client(self.storage.as_deref().expect("a Storage queue")).expect("a queue");
        let message = QueueMessage { message_text: Some(base64(body)) };
        let options = QueueClientSendMessageOptions { message_time_to_live: Some(7 * 86_400), ..Default::default() };
        self.wait_for(client.send_message(message.try_into().expect("XML"), Some(options))).expect("sent");
    }

    /// Returns the dequeue counts of the first 32 messages.
    pub fn dequeue_counts(&self) -> Vec<i64> {
        let queue = self.queue();
        let peeked = self.wait_for(queue.peek(32)).expect("peeked");
        peeked.into_iter().map(|message| message.dequeue_count).collect()
    }

    /// Puts the dead letters of a reply into the queue, as the host does.
    pub fn put_all(&self, reply: &Reply) {
        let queue = self.queue();
        self.wait_for(async {
            for letter in &reply.dead_letters {
                queue.put(letter.to_string().as_bytes()).await.expect("put");
            }
        });
    }

    /// Sends a batch to the real handler, and puts its dead letters into the queue.
    pub fn handle(&self, batch: &Batch) -> Reply {
        let reply = self.app.start().invoke(&batch.envelope());
        self.put_all(&reply);
        reply
    }

    /// Returns the queue's name in Azurite.
    pub fn storage_name(&self) -> &str {
        self.storage.as_deref().expect("a name")
    }

    /// Deletes a blob in the container of large dead letters.
    pub fn remove_blob(&self, name: &str) {
        self.wait_for(async { self.blob(name).delete(None).await.map(drop) }).expect("deleted");
    }

    /// Overwrites a blob in the container of large dead letters.
    pub fn write_blob(&self, name: &str, bytes: &'static [u8]) {
        let blob = self.blob(name).block_blob_client();
        let bytes = azure_core::Bytes::from_static(bytes);
        self.wait_for(async { blob.upload(bytes.into(), None).await.map(drop) }).expect("written");
    }

    fn blob(&self, name: &str) -> BlobClient {
        let container = self.storage_name();
        let url = format!("{}/{container}/{name}", Azurite::url(SHARED.blob_port));
        let options = BlobClientOptions { client_options: signing_options(), ..BlobClientOptions::default() };
        BlobClient::new(url.parse().expect("an address"), None, Some(options)).expect("a blob")
    }

    /// Puts dead letters of valid [`untyped_event`] events, from a handler that decodes all telemetry as protobuf.
    pub fn put_misread(&self, batch: &Batch) -> Vec<Value> {
        let events = batch.events().len() as u64;
        let misread = Self::local().with("TelemetryFormat", "protobuf");
        let reply = misread.app.start().invoke(&batch.envelope());
        assert_eq!(reply.counts(), [events, 0, 0, events]);
        self.put_all(&reply);
        reply.dead_letters
    }

    /// Does the same as [`handle`](Self::handle), with the device ids in the dead letters: only the stage `update` sets them.
    pub fn handle_with_device_ids(&self, batch: &Batch) -> Reply {
        let mut reply = self.app.start().invoke(&batch.envelope());
        for letter in &mut reply.dead_letters {
            let body = from_base64(letter["EventData"]["Body"].as_str().expect("a body"));
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            letter["DeviceId"] = body["deviceId"].clone();
        }
        self.put_all(&reply);
        reply
    }

    /// Returns the number of messages, including hidden ones.
    pub fn count(&self) -> u64 {
        let queue = self.queue();
        self.wait_for(queue.count()).expect("counted")
    }

    /// Returns the bodies of the visible messages, up to 32.
    pub fn visible(&self) -> Vec<Vec<u8>> {
        let queue = self.queue();
        let peeked = self.wait_for(queue.peek(32)).expect("peeked");
        peeked.into_iter().map(|message| message.body).collect()
    }

    /// Returns the documents by id with their versions, as [`Fold`](devicestate_test_support::Fold) has them.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let output = self.app.run(&["devices", "list", "-o", "json"]);
        let documents = read_output(&output.stdout, output.status.code());
        let documents = documents.as_array().expect("the documents").clone();
        let id = |document: &Value| document["id"].as_str().expect("an id").to_owned();
        documents.into_iter().map(|document| (id(&document), document)).collect()
    }

    /// Runs the command with its audit trail in a file and checks its exit code. Returns the new lines and the output.
    #[track_caller]
    pub fn run_audited(&self, words: &[&str], code: i32) -> (Vec<Value>, CommandOutput) {
        let path = self.app.path("audit.jsonl");
        let lines = || fs::read_to_string(&path).unwrap_or_default();
        let before = lines().len();
        let path = path.to_str().expect("a path of text");
        let output = self.run(&[words, &["--audit", path, "--operator", "a tester"]].concat()).assert_exit_code(code);
        let lines = lines();
        (lines[before..].lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), output)
    }

    /// Returns the command `devicestate dead-letters` with these arguments.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.app.tool();
        command.arg("dead-letters");
        if self.is_local() {
            command.arg("--state").arg(self.state());
        }
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end.
    pub fn run(&self, words: &[&str]) -> CommandOutput {
        CommandOutput::from(self.command(words).output().expect("the binary runs"))
    }

    /// Runs the command, checks its exit code, and returns the JSON that it prints.
    #[track_caller]
    pub fn json(&self, words: &[&str], code: i32) -> Value {
        let output = self.run(&[words, &["-o", "json"]].concat()).assert_exit_code(code);
        read_output(&output.output, output.code)
    }
}

/// Returns a JSON event without a content type: a handler that decodes all telemetry as protobuf cannot read it.
pub fn untyped_event(number: i64, body: &Value) -> Event {
    Event::new(number, body.to_string())
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
    }
}

impl CommandOutput {
    /// Checks the exit code and returns the output.
    #[track_caller]
    pub fn assert_exit_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.output, self.errors);
        self
    }
}
