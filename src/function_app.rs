//! The function app's files, `host.json` and `*/function.json`, as far as this product rests on them.
//!
//! The handler reads from them what the host does not tell it in a request: the names of the bindings, whether a body
//! is base64, how long an invocation may last. `devicestate local` plays the host by them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::timespan;

/// A function app: its folder, its `host.json` and those of its functions that an event hub triggers.
#[derive(Debug, Clone)]
pub struct FunctionApp {
    /// The folder that holds `host.json`.
    pub root: PathBuf,
    /// `host.json`.
    pub host: HostJson,
    /// The functions with an Event Hubs trigger, by name. There is at least one.
    pub functions: Vec<Function>,
}

/// A function: a folder with a `function.json`.
#[derive(Debug, Clone)]
pub struct Function {
    /// The folder's name; the host posts to `/{name}`.
    pub name: String,
    /// The Event Hubs trigger.
    pub trigger: EventHubTrigger,
    /// The queue output binding that takes the dead letters.
    pub dead_letters: QueueOutput,
    /// The retry policy; without one a failed batch is lost.
    pub retry: Option<RetryPolicy>,
}

/// `host.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostJson {
    /// How long an invocation may last before the host kills the handler.
    #[serde(default = "default_function_timeout", deserialize_with = "timeout")]
    pub function_timeout: Option<Duration>,
    /// The handler's process.
    pub custom_handler: CustomHandler,
    /// Settings of the binding extensions.
    #[serde(default)]
    pub extensions: Extensions,
}

/// `customHandler` of `host.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomHandler {
    /// The process to start.
    pub description: Description,
    /// How long the handler may take until it answers for the first time.
    #[serde(default = "default_initialization_timeout", deserialize_with = "span")]
    pub initialization_timeout: Duration,
}

/// `customHandler.description` of `host.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Description {
    /// The executable, relative to the working directory or a command on the PATH.
    pub default_executable_path: String,
    /// The folder to start it in, relative to the app's root.
    pub working_directory: String,
    /// Its command-line arguments.
    pub arguments: Vec<String>,
}

/// `extensions` of `host.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Extensions {
    /// The Event Hubs extension. One level deeper these settings are ignored, which is a fault of the reference.
    pub event_hubs: EventHubs,
    /// The Storage queues extension.
    pub queues: Queues,
}

/// `extensions.eventHubs` of `host.json`, with the extension's defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventHubs {
    /// The most events in one batch.
    pub max_event_batch_size: usize,
    /// The fewest events in one batch, as long as `max_wait_time` allows.
    pub min_event_batch_size: usize,
    /// How long to wait for `min_event_batch_size` events.
    #[serde(deserialize_with = "span")]
    pub max_wait_time: Duration,
    /// How many batches to process before a checkpoint is written.
    pub batch_checkpoint_frequency: usize,
}

impl Default for EventHubs {
    fn default() -> Self {
        Self {
            max_event_batch_size: 100,
            min_event_batch_size: 1,
            max_wait_time: Duration::from_mins(1),
            batch_checkpoint_frequency: 1,
        }
    }
}

/// `extensions.queues` of `host.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Queues {
    /// How message texts are put on the wire.
    pub message_encoding: MessageEncoding,
}

/// How the queue output binding puts a message's text on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageEncoding {
    /// As base64: the extension's default.
    #[default]
    Base64,
    /// As it is.
    None,
}

/// An `eventHubTrigger` binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventHubTrigger {
    /// The name under which the request holds the events.
    pub name: String,
    /// The hub's name, or the setting that has it between two `%`.
    pub event_hub_name: String,
    /// The consumer group, or the setting that has it between two `%`.
    #[serde(default = "default_consumer_group")]
    pub consumer_group: String,
    /// The prefix of the settings that tell the namespace.
    pub connection: String,
    /// One event an invocation, or a batch. The extension's default has changed in the past, so it must be said.
    pub cardinality: Cardinality,
    /// In which form the request holds a body.
    #[serde(default)]
    pub data_type: DataType,
}

/// `cardinality` of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cardinality {
    /// A batch.
    Many,
    /// One event.
    One,
}

/// `dataType` of a trigger: in which form the request holds a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Unset: JSON, written anew by the host.
    #[default]
    #[serde(skip)]
    Json,
    /// Text; what is no UTF-8 has been replaced.
    String,
    /// Base64 of the exact bytes.
    Binary,
}

/// A `queue` output binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueOutput {
    /// The name under which the reply holds the messages.
    pub name: String,
    /// The queue's name.
    pub queue_name: String,
    /// The prefix of the settings that tell the storage account, or the setting that has it between two `%`. Empty, it is
    /// the host's own account.
    #[serde(default)]
    pub connection: String,
}

impl QueueOutput {
    /// As it is in the app that ships.
    #[must_use]
    pub fn shipped() -> Self {
        Self {
            name: "deadLetterMessages".to_owned(),
            queue_name: "deadletterqueue".to_owned(),
            connection: "DeadLetterStorage".to_owned(),
        }
    }
}

/// `retry` of `function.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "strategy", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RetryPolicy {
    /// The delay doubles from `minimum_interval` to `maximum_interval`.
    ExponentialBackoff {
        /// How often a batch is sent again; -1 is without end.
        max_retry_count: i64,
        /// The first delay.
        #[serde(deserialize_with = "span")]
        minimum_interval: Duration,
        /// The longest delay.
        #[serde(deserialize_with = "span")]
        maximum_interval: Duration,
    },
    /// The delay is always the same.
    FixedDelay {
        /// How often a batch is sent again; -1 is without end.
        max_retry_count: i64,
        /// The delay.
        #[serde(deserialize_with = "span")]
        delay_interval: Duration,
    },
}

impl RetryPolicy {
    /// How often a batch is sent again; -1 is without end.
    #[must_use]
    pub fn max_retry_count(&self) -> i64 {
        match self {
            Self::ExponentialBackoff { max_retry_count, .. } | Self::FixedDelay { max_retry_count, .. } => {
                *max_retry_count
            }
        }
    }

    /// The delay in front of the retry with this number, from 1.
    #[must_use]
    pub fn delay(&self, retry: u32) -> Duration {
        match self {
            Self::ExponentialBackoff { minimum_interval, maximum_interval, .. } => {
                let doubled = 2_u32.saturating_pow(retry.saturating_sub(1));
                minimum_interval.saturating_mul(doubled).min(*maximum_interval)
            }
            Self::FixedDelay { delay_interval, .. } => *delay_interval,
        }
    }
}

/// Why a folder is no function app that this handler can serve.
#[derive(Debug, thiserror::Error)]
pub enum FunctionAppError {
    /// A file cannot be read.
    #[error("{}: {error}; is this the function app's folder? (setting FUNCTIONS_APP_ROOT_PATH, option --app-root)", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file says something that cannot be.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No folder has a function with an Event Hubs trigger.
    #[error("{}: no folder in it has a function.json with an eventHubTrigger (setting FUNCTIONS_APP_ROOT_PATH, option --app-root)", .0.display())]
    NoFunction(PathBuf),
}

impl FunctionApp {
    /// Reads the files below a folder.
    ///
    /// # Errors
    ///
    /// [`FunctionAppError`]; it names the file.
    pub fn load(root: &Path) -> Result<Self, FunctionAppError> {
        let host = read(&root.join("host.json"))?;
        let unreadable = |error| FunctionAppError::Unreadable { path: root.to_owned(), error };
        let mut functions = Vec::new();
        for entry in fs::read_dir(root).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path().join("function.json");
            if path.is_file() {
                functions.extend(Function::load(&path)?);
            }
        }
        if functions.is_empty() {
            return Err(FunctionAppError::NoFunction(root.to_owned()));
        }
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root: root.to_owned(), host, functions })
    }
}

impl Function {
    /// `None` when something else than an event hub triggers the function.
    fn load(path: &Path) -> Result<Option<Self>, FunctionAppError> {
        let invalid = |reason: String| FunctionAppError::Invalid { path: path.to_owned(), reason };
        let FunctionJson { bindings, retry } = read(path)?;
        let find = |kind: &str| bindings.iter().find(|binding| binding.get("type").is_some_and(|t| t == kind));
        let Some(trigger) = find("eventHubTrigger") else { return Ok(None) };
        let queue = find("queue").ok_or_else(|| {
            invalid("there is no output binding of type \"queue\": dead letters would be lost".into())
        })?;
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        Ok(Some(Self {
            name: folder.to_string_lossy().into_owned(),
            trigger: EventHubTrigger::deserialize(into_value(trigger))
                .map_err(|error| invalid(format!("the binding of type \"eventHubTrigger\": {error}")))?,
            dead_letters: QueueOutput::deserialize(into_value(queue))
                .map_err(|error| invalid(format!("the binding of type \"queue\": {error}")))?,
            retry,
        }))
    }
}

#[derive(Deserialize)]
struct FunctionJson {
    bindings: Vec<BTreeMap<String, serde_json::Value>>,
    retry: Option<RetryPolicy>,
}

fn into_value(binding: &BTreeMap<String, serde_json::Value>) -> serde_json::Value {
    serde_json::Value::Object(binding.clone().into_iter().collect())
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, FunctionAppError> {
    let text = fs::read(path).map_err(|error| FunctionAppError::Unreadable { path: path.to_owned(), error })?;
    serde_json::from_slice(&text)
        .map_err(|error| FunctionAppError::Invalid { path: path.to_owned(), reason: error.to_string() })
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    timespan::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no time span; write hh:mm:ss")))
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "-1" {
        return Ok(None);
    }
    let span = timespan::parse(&text);
    span.map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} is no functionTimeout; write hh:mm:ss or -1")))
}

/// The shortest default of all hosting plans: what does not say how long it may last is held to this.
#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn default_function_timeout() -> Option<Duration> {
    Some(Duration::from_mins(5))
}

fn default_initialization_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_consumer_group() -> String {
    "$Default".into()
}
