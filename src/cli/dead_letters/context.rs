//! Opens the queue of a command, with its store, overflow and audit trail.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::{Args, value_parser};
use devicestate_azure::{BlobAudit, CosmosConfig, StorageConnection, StorageQueue};
use devicestate_dead_letters::{
    Action, AuditTrail, AuditWriter, Edit, FileAuditTrail, LockWait, Replayer, operator_name,
};
use devicestate_engine::{
    clock::System,
    dead_letter::{DeadLetter, FetchError, Overflow, fetch_complete},
    function_app::{FunctionApp, FunctionAppError, QueueOutput, Trigger},
    queue::DeadLetterQueue,
    settings::Settings,
    store::{DryRunStore, StateStore},
    telemetry::Telemetry,
};
use devicestate_sqlite::{Database, OpenMode, SqliteQueue, dead_letter_folder};
use devicestate_telemetry::{LoadError, LoadedTelemetry};
use devicestate_terminal::{
    CommandError, CommandOutcome, Output, print_json_items, print_json_value, print_message, shell_quoted,
};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    bootstrap::{build_processor, open_overflow, open_store},
    config::{self, Config, OverflowConfig, StoreConfig},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionOptions {
    /// SQLite file of `devicestate local` that holds the queue, instead of a Storage queue
    #[arg(long, global = true, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Name of the Storage queue [default: the one in function.json]
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "state")]
    queue: Option<String>,
    /// Name of the setting with the storage connection [default: the one in function.json]
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "state")]
    connection: Option<String>,
    /// Folder of the function app, with host.json and the telemetry file
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    app_root: PathBuf,
    /// How long received messages stay hidden from other consumers [default: as needed, at most 600]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=604_800))]
    visibility_timeout: Option<u32>,
    /// File of the audit trail [default: next to the state file, or a blob]
    #[arg(long, global = true, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Operator's name in the audit trail [default: user and machine]
    #[arg(long, global = true, value_name = "NAME")]
    operator: Option<String>,
}

/// A queue with its store, overflow and audit trail.
pub(super) struct Context {
    pub(super) queue: Arc<dyn DeadLetterQueue>,
    pub(super) overflow: Option<Arc<dyn Overflow>>,
    /// Decodes the events. Without it, the commands that decode no event still work.
    telemetry: Result<LoadedTelemetry, LoadError>,
    /// Whether a replay accepts dead letters that the handler decoded as other telemetry.
    pub(super) accepts_other_telemetry: bool,
    options: ConnectionOptions,
    settings: Settings,
    config: Config,
    triggers: Vec<Trigger>,
    output: QueueOutput,
    overflow_config: OverflowConfig,
    has_printed_json: AtomicBool,
    /// `true` stops the command.
    pub(super) stop: watch::Sender<bool>,
}

impl Context {
    pub(super) fn open(options: ConnectionOptions, mode: OpenMode) -> Result<Self, CommandError> {
        let mut settings = Settings::from_environment();
        if let Some(state) = &options.state {
            set_state_file(&mut settings, state);
        }
        let (triggers, mut output) = load_bindings(&options.app_root, &settings)?;
        output.connection = options.connection.clone().unwrap_or(output.connection);
        output.queue_name = options.queue.clone().unwrap_or(output.queue_name);
        let config = load_config(&settings)?;
        let telemetry = devicestate_telemetry::load(&settings, &options.app_root);
        let overflow_config = OverflowConfig::from_settings(&settings, &config.store, &output);
        settings.check_encoding().map_err(CommandError::not_started)?;
        let overflow_config = overflow_config.map_err(CommandError::not_started)?.with_tool_retries();
        // A connection without access to blobs is enough for most commands. The others report the missing overflow later.
        let overflow = open_overflow(&overflow_config).ok().flatten();
        let queue: Arc<dyn DeadLetterQueue> = if let Some(path) = &options.state {
            let database = Database::open(path, mode).map_err(CommandError::not_started)?;
            Arc::new(SqliteQueue::new(database, Arc::new(System)))
        } else {
            let (connection, name) = storage_connection(&settings, &output)?;
            Arc::new(StorageQueue::new(&connection, &name).map_err(CommandError::not_started)?)
        };
        let has_printed_json = AtomicBool::new(false);
        Ok(Self {
            queue,
            overflow,
            telemetry,
            accepts_other_telemetry: false,
            options,
            settings,
            config,
            triggers,
            output,
            overflow_config,
            has_printed_json,
            stop: watch::channel(false).0,
        })
    }

    /// Returns the read-only copy of the queue in the other region.
    pub(super) fn secondary(&self) -> Result<StorageQueue, CommandError> {
        if !self.is_storage() {
            return Err(CommandError::not_started(
                "--secondary needs a Storage queue, because a state file has no copy in another region: omit --secondary or --state",
            ));
        }
        let (connection, name) = storage_connection(&self.settings, &self.output)?;
        StorageQueue::secondary(&connection, &name).map_err(CommandError::not_started)
    }

    /// Opens the store of the documents.
    pub(super) fn store(&self, mode: OpenMode) -> Result<Arc<dyn StateStore>, CommandError> {
        let config = StoreConfig::from_settings(&self.settings).map_err(CommandError::not_started)?;
        if config == StoreConfig::Memory {
            return Err(CommandError::not_started(
                "the setting StateStore is memory: only the handler itself can read its documents; use the settings of another \
                 store, or --state FILE",
            ));
        }
        open_store(&config, mode).map_err(CommandError::not_started)
    }

    /// Returns the name of the store of the documents, for messages and the audit trail.
    pub(super) fn store_name(&self) -> Option<String> {
        Some(match StoreConfig::from_settings(&self.settings).ok()? {
            StoreConfig::Memory => return None,
            StoreConfig::Sqlite(file) => file.path.display().to_string(),
            StoreConfig::Cosmos(CosmosConfig { endpoint, database, container, .. }) => {
                format!("{database}/{container} at {}", endpoint.host_str().unwrap_or_default())
            }
        })
    }

    /// Returns the telemetry of the function app.
    pub(super) fn telemetry(&self) -> Result<Arc<dyn Telemetry>, CommandError> {
        let loaded = self.telemetry.as_ref().map_err(CommandError::not_started)?;
        Ok(Arc::clone(&loaded.telemetry))
    }

    /// Returns what decodes the events, for a reader: `any JSON`, `drone` or the path of the telemetry file; `None` if it cannot be
    /// loaded.
    pub(super) fn telemetry_name(&self) -> Option<&str> {
        self.telemetry.as_ref().ok().map(|loaded| loaded.description.as_str())
    }

    /// Returns the line that says what decodes the events.
    pub(super) fn telemetry_line(&self) -> String {
        format!("telemetry: {}\n", self.telemetry_name().unwrap_or("unknown"))
    }

    /// Returns a replayer that writes into a store.
    pub(super) fn replayer(&self, store: Arc<dyn StateStore>) -> Result<Replayer, CommandError> {
        Ok(Replayer {
            processor: Arc::new(build_processor(&self.config, self.telemetry()?, store, Arc::new(()))),
            overflow: self.overflow.clone(),
            triggers: self.triggers.clone(),
            accepts_other_telemetry: self.accepts_other_telemetry,
        })
    }

    /// Returns the complete dead letter, from the overflow if it did not fit into the queue.
    pub(super) async fn fetch_complete(&self, letter: &DeadLetter) -> Result<DeadLetter, FetchError> {
        fetch_complete(letter, self.overflow.as_deref()).await
    }

    /// Returns a replayer that writes nothing, and the store that collects what it would write.
    pub(super) fn dry_run_replayer(&self) -> Result<(Replayer, Arc<DryRunStore>), CommandError> {
        let store = Arc::new(DryRunStore::new(self.store(OpenMode::ReadOnly)?));
        Ok((self.replayer(store.clone())?, store))
    }

    /// Returns the writer of the audit trail of this run.
    pub(super) fn audit_writer(&self, action: Action, edit: Option<Edit>) -> Result<AuditWriter, CommandError> {
        let waiting = LockWait { report: Arc::new(|line: &str| print_message(line)), stop: self.stop.subscribe() };
        let in_file = |trail: FileAuditTrail| Arc::new(trail.with_lock_wait(waiting));
        let trail: Arc<dyn AuditTrail> = match (&self.options.audit, &self.options.state, &self.overflow_config) {
            (Some(path), ..) => in_file(FileAuditTrail::new(path.clone())),
            (None, Some(state), _) => in_file(FileAuditTrail::next_to(state)),
            (None, None, OverflowConfig::Blobs { connection, container }) => {
                Arc::new(BlobAudit::new(connection, container, action, &System).map_err(CommandError::not_started)?)
            }
            (None, None, OverflowConfig::Directory(folder)) => in_file(FileAuditTrail::new(folder.join("audit.jsonl"))),
            (None, None, OverflowConfig::Disabled { .. }) => {
                return Err(CommandError::not_started(
                    "the audit trail has no location, because the storage connection has no access to blobs: use --audit FILE",
                ));
            }
        };
        Ok(AuditWriter {
            store: self.store_name(),
            trail,
            action,
            operator: operator_name(self.options.operator.as_deref()),
            queue: self.queue.name(),
            edit,
            clock: Arc::new(System),
        })
    }

    /// Returns how long received messages are hidden: as long as this many messages take, at most ten minutes. If the command
    /// is killed, its messages stay hidden that long; if it takes longer, it recognizes the messages that it receives again.
    pub(super) fn visibility_timeout(&self, messages: u64, rate: Option<u32>) -> Duration {
        const EXPECTED_PER_SECOND: u64 = 50;
        const MAX_SECONDS: u64 = 600;
        if let Some(seconds) = self.options.visibility_timeout {
            return Duration::from_secs(seconds.into());
        }
        let budget = self.config.invocation_budget.as_secs();
        let per_second = rate.map_or(EXPECTED_PER_SECOND, |rate| u64::from(rate).min(EXPECTED_PER_SECOND)).max(1);
        Duration::from_secs((60 + budget + messages / per_second).min(MAX_SECONDS))
    }

    /// Returns the options that select this queue, to be appended to a command line.
    pub(super) fn command_line_options(&self) -> String {
        let ConnectionOptions { state, queue, connection, app_root, audit, .. } = &self.options;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let app_root = Some(app_root.clone()).filter(|root| root.as_os_str() != ".");
        let options = [
            ("--state", path(state)),
            ("--queue", queue.clone()),
            ("--connection", connection.clone()),
            ("--app-root", path(&app_root)),
            ("--audit", path(audit)),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", shell_quoted(&value?))));
        given.collect()
    }

    /// Returns true if the queue is a Storage queue.
    fn is_storage(&self) -> bool {
        self.options.state.is_none()
    }

    /// Prints a result for machines, with the outcome of the command.
    pub(super) fn print_json(
        &self,
        output: Output,
        command: &str,
        result: &Result<(), CommandError>,
        data: &impl Serialize,
    ) -> Result<(), CommandError> {
        self.has_printed_json.store(true, Relaxed);
        print_json_value(output, command, CommandOutcome::from_result(result), data)
    }

    /// Prints a list for machines, with the outcome of the command.
    pub(super) fn print_json_items(
        &self,
        output: Output,
        command: &str,
        result: &Result<(), CommandError>,
        items: &[impl Serialize],
    ) -> Result<(), CommandError> {
        self.has_printed_json.store(true, Relaxed);
        print_json_items(output, command, CommandOutcome::from_result(result), items)
    }

    /// Returns true if a result for machines was printed.
    pub(super) fn has_printed_json(&self) -> bool {
        self.has_printed_json.load(Relaxed)
    }
}

/// Reads the configuration. The setting `StateStore` may be missing, because most commands need only the queue.
fn load_config(settings: &Settings) -> Result<Config, CommandError> {
    let mut settings = settings.clone();
    settings.add_default("StateStore", "memory");
    Config::from_settings(&settings).map_err(CommandError::not_started)
}

/// Adds the settings of a state file, the same as those of `devicestate local`.
fn set_state_file(settings: &mut Settings, state: &Path) {
    settings.add_default("DeadLetterDirectory", dead_letter_folder(state).display().to_string());
    if settings.get("StateStore").is_none_or(|store| store == "sqlite") {
        settings.set("StateStore", "sqlite");
        settings.set("SqlitePath", state.display().to_string());
    }
}

/// Returns the triggers of the function app in a folder, and the queue of its first function. If the folder has no function
/// app of this product, it returns no triggers and the queue of the published app.
fn load_bindings(app_root: &Path, settings: &Settings) -> Result<(Vec<Trigger>, QueueOutput), CommandError> {
    if !app_root.join("host.json").exists() {
        return Ok((Vec::new(), QueueOutput::shipped()));
    }
    match FunctionApp::load(app_root, settings) {
        Ok(mut app) => {
            config::locate_queues(settings, &mut app);
            let first = app.functions.first().expect("a function app has at least one function");
            let output = first.dead_letters.clone();
            Ok((app.functions.into_iter().map(|function| function.trigger).collect(), output))
        }
        Err(FunctionAppError::NoFunction(_)) => Ok((Vec::new(), QueueOutput::shipped())),
        Err(error) => Err(CommandError::not_started(error)),
    }
}

/// Returns the Storage queue of the function app in a folder; `None` if the settings have no connection to it.
#[cfg(feature = "local")]
pub(in crate::cli) fn configured_queue(
    app_root: &Path,
    settings: &Settings,
) -> Result<Option<Arc<dyn DeadLetterQueue>>, CommandError> {
    let (_, output) = load_bindings(app_root, settings)?;
    let configured = config::queue_connection(settings, &output).map_err(CommandError::not_started)?;
    if configured.connection.is_none() {
        return Ok(None);
    }
    let (connection, name) = storage_connection(settings, &output)?;
    Ok(Some(Arc::new(StorageQueue::new(&connection, &name).map_err(CommandError::not_started)?)))
}

fn storage_connection(settings: &Settings, output: &QueueOutput) -> Result<(StorageConnection, String), CommandError> {
    let config::QueueConnection { setting, connection } =
        config::queue_connection(settings, output).map_err(CommandError::not_started)?;
    let connection = connection.ok_or_else(|| {
        CommandError::not_started(format!(
            "the dead-letter queue is not configured: set the setting `{setting}` to a connection string, or \
             `{setting}__queueServiceUri` to the URL of the queue service to connect with an identity; or use --state FILE"
        ))
    })?;
    let name = settings.resolve(&output.queue_name).map_err(CommandError::not_started)?;
    Ok((connection.with_tool_retries(), name))
}
