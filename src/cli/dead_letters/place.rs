//! Where the tools work: the queue, and what belongs to it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, value_parser};
use devicestate_azure::{BlobAudit, CosmosConfig, StorageConnection, StorageQueue};
use devicestate_dead_letters::{Action, Audit, Auditor, Edit, FileAudit, Replayer, who};
use devicestate_engine::{
    clock::System,
    dead_letter::{DeadLetter, FetchError, Overflow, fetch_complete},
    function_app::{FunctionApp, FunctionAppError, QueueOutput, Trigger},
    queue::DeadLetterQueue,
    settings::Settings,
    store::{DryRunStore, StateStore},
    telemetry::drone::Drone,
};
use devicestate_sqlite::{Database, OpenMode, SqliteQueue, dead_letter_folder};
use devicestate_terminal::CommandError;

use crate::{
    bootstrap::{build_processor, open_overflow, open_store},
    config::{self, Config, OverflowConfig, StoreConfig},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Where")]
pub(super) struct Where {
    /// The queue in this SQLite file, with which `devicestate local` ran; without it, a queue of Azure Storage.
    #[arg(long, global = true, value_name = "PATH")]
    state: Option<PathBuf>,
    /// The queue's name; without it, the one in function.json, or deadletterqueue.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "state")]
    queue: Option<String>,
    /// The settings' name of the storage connection; without it, the one in function.json, or DeadLetterStorage.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "state")]
    connection: Option<String>,
    /// The function app's folder; what is not there is taken to be as it ships.
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    app_root: PathBuf,
    /// For how long others do not see what is received here, unless it is given back before; without it, as long as
    /// this takes, but ten minutes at the most.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=604_800))]
    visibility_timeout: Option<u32>,
    /// Keep the audit trail in this file; without it, beside the state file, or in a blob beside the large dead letters.
    #[arg(long, global = true, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Who is named in the audit trail; without it, the user and the machine.
    #[arg(long, global = true, value_name = "NAME")]
    who: Option<String>,
}

/// A queue, and what belongs to it.
pub(super) struct Place {
    pub(super) queue: Arc<dyn DeadLetterQueue>,
    pub(super) overflow: Option<Arc<dyn Overflow>>,
    /// What reads the telemetry.
    pub(super) telemetry: Drone,
    options: Where,
    settings: Settings,
    config: Config,
    triggers: Vec<Trigger>,
    output: QueueOutput,
    overflow_config: OverflowConfig,
}

impl Place {
    pub(super) fn open(options: Where, opening: OpenMode) -> Result<Self, CommandError> {
        let mut settings = Settings::from_environment();
        if let Some(state) = &options.state {
            at_home(&mut settings, state);
        }
        let (triggers, mut output) = bindings(&options.app_root, &settings)?;
        output.connection = options.connection.clone().unwrap_or(output.connection);
        output.queue_name = options.queue.clone().unwrap_or(output.queue_name);
        let config = config(&settings)?;
        let overflow_config = OverflowConfig::from_settings(&settings, &config.store, &output);
        let overflow_config = overflow_config.map_err(CommandError::not_started)?.with_tool_retries();
        // A connection that leads to queues only is enough for all but what lies elsewhere, which says so then.
        let overflow = open_overflow(&overflow_config).ok().flatten();
        let queue: Arc<dyn DeadLetterQueue> = if let Some(path) = &options.state {
            let database = Database::open(path, opening).map_err(CommandError::not_started)?;
            Arc::new(SqliteQueue::new(database, Arc::new(System)))
        } else {
            let (connection, name) = storage(&settings, &output)?;
            Arc::new(StorageQueue::new(&connection, &name).map_err(CommandError::not_started)?)
        };
        let telemetry = config.telemetry;
        Ok(Self { queue, overflow, telemetry, options, settings, config, triggers, output, overflow_config })
    }

    /// The copy of the queue in the other region, which can only be looked at.
    pub(super) fn secondary(&self) -> Result<StorageQueue, CommandError> {
        if !self.is_storage() {
            return Err(CommandError::not_started(
                "--secondary is for a Storage queue: a state file has no copy elsewhere",
            ));
        }
        let (connection, name) = storage(&self.settings, &self.output)?;
        StorageQueue::secondary(&connection, &name).map_err(CommandError::not_started)
    }

    /// The store of the documents.
    pub(super) fn store(&self, opening: OpenMode) -> Result<Arc<dyn StateStore>, CommandError> {
        let config = StoreConfig::from_settings(&self.settings).map_err(CommandError::not_started)?;
        if config == StoreConfig::Memory {
            return Err(CommandError::not_started(
                "StateStore is memory: only the handler itself can see its documents",
            ));
        }
        open_store(&config, opening).map_err(CommandError::not_started)
    }

    /// The store of the documents, for people and for the audit trail.
    pub(super) fn store_name(&self) -> Option<String> {
        Some(match StoreConfig::from_settings(&self.settings).ok()? {
            StoreConfig::Memory => return None,
            StoreConfig::Sqlite(path) => path.display().to_string(),
            StoreConfig::Cosmos(CosmosConfig { endpoint, database, container, .. }) => {
                format!("{database}/{container} at {}", endpoint.host_str().unwrap_or_default())
            }
        })
    }

    /// What replays dead letters into a store.
    pub(super) fn replayer(&self, store: Arc<dyn StateStore>) -> Replayer {
        Replayer {
            processor: Arc::new(build_processor(&self.config, store, Arc::new(()))),
            overflow: self.overflow.clone(),
            triggers: self.triggers.clone(),
        }
    }

    /// A dead letter whole, from where it lies if it did not fit into the queue.
    pub(super) async fn fetch_complete(&self, letter: &DeadLetter) -> Result<DeadLetter, FetchError> {
        fetch_complete(letter, self.overflow.as_deref()).await
    }

    /// What shows what a replay would come to, and changes nothing.
    pub(super) fn trial(&self) -> Result<(Replayer, Arc<DryRunStore>), CommandError> {
        let trial = Arc::new(DryRunStore::new(self.store(OpenMode::ReadOnly)?));
        Ok((self.replayer(trial.clone()), trial))
    }

    /// What writes down what this run does.
    pub(super) fn auditor(&self, action: Action, edit: Option<Edit>) -> Result<Auditor, CommandError> {
        let trail: Arc<dyn Audit> = match (&self.options.audit, &self.options.state, &self.overflow_config) {
            (Some(path), ..) => Arc::new(FileAudit::new(path.clone())),
            (None, Some(state), _) => Arc::new(FileAudit::beside(state)),
            (None, None, OverflowConfig::Blobs { connection, container }) => {
                Arc::new(BlobAudit::new(connection, container, action, &System).map_err(CommandError::not_started)?)
            }
            (None, None, OverflowConfig::Directory(folder)) => Arc::new(FileAudit::new(folder.join("audit.jsonl"))),
            (None, None, OverflowConfig::Disabled { .. }) => {
                return Err(CommandError::not_started(
                    "there is no place for the audit trail: the storage connection leads to no blobs, so give --audit FILE",
                ));
            }
        };
        Ok(Auditor {
            store: self.store_name(),
            trail,
            action,
            who: who(self.options.who.as_deref()),
            queue: self.queue.name(),
            edit,
            clock: Arc::new(System),
        })
    }

    /// How long messages are hidden, when there are so many and each takes so long beside the others. Not for ever: a run
    /// that is killed has hidden what it had received, and one that takes longer knows its messages again.
    pub(super) fn hidden(&self, messages: u64, per_second: Option<u32>) -> Duration {
        const A_SECOND: u64 = 50;
        const LONGEST: u64 = 600;
        if let Some(seconds) = self.options.visibility_timeout {
            return Duration::from_secs(seconds.into());
        }
        let budget = self.config.invocation_budget.as_secs();
        let rate = per_second.map_or(A_SECOND, |rate| u64::from(rate).min(A_SECOND)).max(1);
        Duration::from_secs((60 + budget + messages / rate).min(LONGEST))
    }

    /// The options that lead here again, to be typed behind a command.
    pub(super) fn options(&self) -> String {
        let Where { state, queue, connection, app_root, audit, .. } = &self.options;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let app_root = Some(app_root.clone()).filter(|root| root.as_os_str() != ".");
        let options = [
            ("--state", path(state)),
            ("--queue", queue.clone()),
            ("--connection", connection.clone()),
            ("--app-root", path(&app_root)),
            ("--audit", path(audit)),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", quoted(&value?))));
        given.collect()
    }

    /// Whether it is a Storage queue.
    pub(super) fn is_storage(&self) -> bool {
        self.options.state.is_none()
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The configuration. To look at the queue, nobody has to say where the documents are.
fn config(settings: &Settings) -> Result<Config, CommandError> {
    let mut settings = settings.clone();
    settings.add_default("StateStore", "memory");
    Config::from_settings(&settings).map_err(CommandError::not_started)
}

/// The settings for a state file: as `devicestate local` has them, so that the same places are meant.
fn at_home(settings: &mut Settings, state: &Path) {
    settings.add_default("DeadLetterDirectory", dead_letter_folder(state).display().to_string());
    if settings.get("StateStore").is_none_or(|store| store == "sqlite") {
        settings.set("StateStore", "sqlite");
        settings.set("SqlitePath", state.display().to_string());
    }
}

/// The triggers of the function app in a folder and the queue of its first function; where there is none of ours, that of
/// the app that ships.
fn bindings(app_root: &Path, settings: &Settings) -> Result<(Vec<Trigger>, QueueOutput), CommandError> {
    if !app_root.join("host.json").exists() {
        return Ok((Vec::new(), QueueOutput::shipped()));
    }
    match FunctionApp::load(app_root) {
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

fn storage(settings: &Settings, output: &QueueOutput) -> Result<(StorageConnection, String), CommandError> {
    let config::QueueConnection { setting, connection } =
        config::queue_connection(settings, output).map_err(CommandError::not_started)?;
    let connection = connection.ok_or_else(|| {
        CommandError::not_started(format!(
            "nothing says where the dead letters are: the setting {setting} is a connection string, or \
             {setting}__queueServiceUri the address of the queues, for an identity; or give --state PATH"
        ))
    })?;
    let name = settings.resolve(&output.queue_name).map_err(CommandError::not_started)?;
    Ok((connection.with_tool_retries(), name))
}
