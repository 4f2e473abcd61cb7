//! A queue with dead letters in it, documents, and the tool.

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
use devicestate_test_support::{App, Batch, Event, Reply, base64, from_base64, listener::Listener};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::azurite::{Azurite, KEY, SETTING, SHARED, connection, connection_string, signing};

/// A function app with documents and dead letters on one machine, in one SQLite file, or as in Azure: documents in a
/// Cosmos DB account, dead letters in Azurite, the large ones in its blobs.
pub struct Bench {
    pub app: App,
    /// The account, in which a test can make operations fail.
    pub cosmos: Option<Listener>,
    /// The queue's name and that of the container of large dead letters, in Azurite.
    storage: Option<String>,
    runtime: Runtime,
}

/// What the tool said.
pub struct CommandOutput {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Bench {
    /// With the queue in the state file.
    pub fn local() -> Self {
        let app = App::shipped();
        let bench = Self { app, cosmos: None, storage: None, runtime: Runtime::new().expect("a runtime") };
        Database::open(&bench.state(), OpenMode::Create).expect("a state file");
        bench
    }

    /// With the queue in the state file and the documents in an account.
    pub fn local_with_account() -> Self {
        let mut bench = Self::local();
        let cosmos = Listener::start();
        let app = bench.app.without("SqlitePath").with("StateStore", "cosmos");
        bench.app = app.with("CosmosConnection", cosmos.connection_string());
        bench.cosmos = Some(cosmos);
        bench
    }

    /// The same with this setting.
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.app = self.app.with(setting, value);
        self
    }

    /// The account of the documents.
    pub fn account(&self) -> &Listener {
        self.cosmos.as_ref().expect("a bench with an account")
    }

    /// With a queue of Azurite.
    pub fn azurite() -> Self {
        Self::through_proxy([SHARED.blob_port, SHARED.queue_port])
    }

    /// With a queue of Azurite, which the tool asks for at these ports of blobs and queues: those of a proxy.
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

    /// The queue, for what the tool itself does not do. Never through a proxy.
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

    /// Puts a message as the Functions binding does: the queue forgets it after seven days. On a Storage queue only.
    pub fn put_for_a_week(&self, body: impl AsRef<[u8]>) {
        let options = QueueServiceClientOptions { client_options: signing(), ..QueueServiceClientOptions::default() };
        let service = QueueServiceClient::new(Azurite::url(SHARED.queue_port), None, Some(options)).expect("a service");
        let client = service.queue_client(self.storage.as_deref().expect("a Storage queue")).expect("a queue");
        let message = QueueMessage { message_text: Some(base64(body)) };
        let options = QueueClientSendMessageOptions { message_time_to_live: Some(7 * 86_400), ..Default::default() };
        self.wait_for(client.send_message(message.try_into().expect("XML"), Some(options))).expect("sent");
    }

    /// How often each of the first 32 messages has been received.
    pub fn dequeue_counts(&self) -> Vec<i64> {
        let queue = self.queue();
        let peeked = self.wait_for(queue.peek(32)).expect("peeked");
        peeked.into_iter().map(|message| message.dequeue_count).collect()
    }

    /// Puts the dead letters of a reply, as the host would.
    pub fn put_all(&self, reply: &Reply) {
        let queue = self.queue();
        self.wait_for(async {
            for letter in &reply.dead_letters {
                queue.put(letter.to_string().as_bytes()).await.expect("put");
            }
        });
    }

    /// Sends a batch through the real handler, and its dead letters into the queue.
    pub fn handle(&self, batch: &Batch) -> Reply {
        let reply = self.app.start().invoke(&batch.envelope());
        self.put_all(&reply);
        reply
    }

    /// The queue's name in Azurite.
    pub fn storage_name(&self) -> &str {
        self.storage.as_deref().expect("a name")
    }

    /// Takes away what lies in the container of large dead letters.
    pub fn remove_blob(&self, name: &str) {
        self.wait_for(async { self.blob(name).delete(None).await.map(drop) }).expect("deleted");
    }

    /// Puts something else into the container of large dead letters.
    pub fn write_blob(&self, name: &str, bytes: &'static [u8]) {
        let blob = self.blob(name).block_blob_client();
        let bytes = azure_core::Bytes::from_static(bytes);
        self.wait_for(async { blob.upload(bytes.into(), None).await.map(drop) }).expect("written");
    }

    fn blob(&self, name: &str) -> BlobClient {
        let container = self.storage_name();
        let url = format!("{}/{container}/{name}", Azurite::url(SHARED.blob_port));
        let options = BlobClientOptions { client_options: signing(), ..BlobClientOptions::default() };
        BlobClient::new(url.parse().expect("an address"), None, Some(options)).expect("a blob")
    }

    /// Dead letters of these [`untyped_event`] events, which are as good as any: of a handler that takes all telemetry for protobuf.
    pub fn put_misread(&self, batch: &Batch) -> Vec<Value> {
        let events = batch.events().len() as u64;
        let misread = Self::local().with("TelemetryFormat", "protobuf");
        let reply = misread.app.start().invoke(&batch.envelope());
        assert_eq!(reply.counts(), [events, 0, 0, events]);
        self.put_all(&reply);
        reply.dead_letters
    }

    /// The same, the dead letters with their devices, as the stage `update` tells them and those before it do not.
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

    /// How many messages there are, hidden ones included.
    pub fn count(&self) -> u64 {
        let queue = self.queue();
        self.wait_for(queue.count()).expect("counted")
    }

    /// The messages that everybody can see, up to 32, each as it was put.
    pub fn visible(&self) -> Vec<Vec<u8>> {
        let queue = self.queue();
        let peeked = self.wait_for(queue.peek(32)).expect("peeked");
        peeked.into_iter().map(|message| message.body).collect()
    }

    /// The documents by their id, with their versions, as [`Fold`](devicestate_test_support::Fold) has them.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let output = self.app.run(&["state", "list", "--format", "json"]);
        let documents: Vec<Value> = serde_json::from_slice(&output.stdout).expect("the documents");
        let id = |document: &Value| document["id"].as_str().expect("an id").to_owned();
        documents.into_iter().map(|document| (id(&document), document)).collect()
    }

    /// Runs the tool with its audit trail in a file, which must end so: the lines that it adds, and what it said.
    #[track_caller]
    pub fn run_audited(&self, words: &[&str], code: i32) -> (Vec<Value>, CommandOutput) {
        let path = self.app.path("audit.jsonl");
        let lines = || fs::read_to_string(&path).unwrap_or_default();
        let before = lines().len();
        let path = path.to_str().expect("a path of text");
        let said = self.run(&[words, &["--audit", path, "--who", "a tester"]].concat()).assert_exit_code(code);
        let lines = lines();
        (lines[before..].lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), said)
    }

    /// The tool with these words behind `dead-letters`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.app.tool();
        command.arg("dead-letters");
        if self.is_local() {
            command.arg("--state").arg(self.state());
        }
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the tool to its end.
    pub fn run(&self, words: &[&str]) -> CommandOutput {
        CommandOutput::from(self.command(words).output().expect("the binary runs"))
    }

    /// Runs the tool, which must end so, and gives back the JSON that it prints.
    #[track_caller]
    pub fn json(&self, words: &[&str], code: i32) -> Value {
        let said = self.run(&[words, &["--format", "json"]].concat()).assert_exit_code(code);
        serde_json::from_str(&said.output).unwrap_or_else(|error| panic!("{error}: {}", said.output))
    }
}

/// A JSON event that does not say so: what takes all telemetry for protobuf cannot read it.
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
    /// What it said, when it ended so.
    #[track_caller]
    pub fn assert_exit_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.output, self.errors);
        self
    }
}
