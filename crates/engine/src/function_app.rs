//! Reads the function app's files, `host.json` and `*/function.json`, as far as this product uses them.
//!
//! They contain what a request of the host does not: the names of the bindings, whether bodies are base64, how long an
//! invocation may last. `devicestate local` acts as the host according to them.

mod bindings;
mod overrides;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::timespan;

pub use bindings::{
    Cardinality, DataType, EventHubTrigger, QueueOutput, RetryPolicy, ServiceBusTrigger, TimerTrigger, Trigger,
};
pub use overrides::apply_overrides;

/// A function app: its folder, its `host.json` and the functions that this handler serves.
#[derive(Debug, Clone)]
pub struct FunctionApp {
    /// The folder that holds `host.json`.
    pub root: PathBuf,
    /// The contents of `host.json`.
    pub host: HostJson,
    /// The functions that receive telemetry, by name. There is at least one.
    pub functions: Vec<Function>,
    /// The functions with a timer trigger, by name.
    pub timers: Vec<TimerFunction>,
}

/// A function that receives telemetry: a folder with a `function.json`.
#[derive(Debug, Clone)]
pub struct Function {
    /// The folder's name; the host posts to `/{name}`.
    pub name: String,
    /// The trigger.
    pub trigger: Trigger,
    /// The queue output binding for dead letters.
    pub dead_letters: QueueOutput,
    /// The retry policy; without one a failed batch is lost. A message needs none: Service Bus delivers it again.
    pub retry: Option<RetryPolicy>,
}

/// A function with a timer trigger, which monitors the dead-letter queues.
#[derive(Debug, Clone)]
pub struct TimerFunction {
    /// The folder's name; the host posts to `/{name}`.
    pub name: String,
    /// The timer trigger.
    pub trigger: TimerTrigger,
}

/// The contents of `host.json`.
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
    /// The Event Hubs extension. The host ignores these settings one level deeper, where the reference has them.
    pub event_hubs: EventHubs,
    /// The Service Bus extension.
    pub service_bus: ServiceBus,
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

/// `extensions.serviceBus` of `host.json`, with the extension's defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceBus {
    /// The most sessions that an instance processes at the same time.
    pub max_concurrent_sessions: usize,
    /// The most messages of a session that are processed at the same time. With more than one, their order is lost.
    pub max_concurrent_calls_per_session: usize,
    /// How long an instance waits for the next message of a session before it accepts another session.
    #[serde(deserialize_with = "span")]
    pub session_idle_timeout: Duration,
}

impl Default for ServiceBus {
    fn default() -> Self {
        Self {
            max_concurrent_sessions: 8,
            max_concurrent_calls_per_session: 1,
            session_idle_timeout: Duration::from_mins(1),
        }
    }
}

/// `extensions.queues` of `host.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Queues {
    /// The encoding of message texts.
    pub message_encoding: MessageEncoding,
}

/// How the queue output binding encodes a message's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageEncoding {
    /// As base64: the extension's default.
    #[default]
    Base64,
    /// Not encoded.
    None,
}

/// Why a folder is not a function app that this handler can serve.
#[derive(Debug, thiserror::Error)]
pub enum FunctionAppError {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}; set the folder of the function app with --app-root or `FUNCTIONS_APP_ROOT_PATH`", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// A file has invalid contents.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// No folder has a function that receives telemetry.
    #[error("no folder in {} has a function.json with an eventHubTrigger or a serviceBusTrigger; set the folder of the function app with --app-root or `FUNCTIONS_APP_ROOT_PATH`", .0.display())]
    NoFunction(PathBuf),
}

impl FunctionApp {
    /// Reads the files of a function app.
    ///
    /// # Errors
    ///
    /// Returns a [`FunctionAppError`] that names the file or folder.
    pub fn load(root: &Path) -> Result<Self, FunctionAppError> {
        let host = read(&root.join("host.json"))?;
        let unreadable = |error| FunctionAppError::Unreadable { path: root.to_owned(), error };
        let (mut functions, mut timers) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(root).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path().join("function.json");
            if path.is_file() {
                let file = FunctionFile::read(path)?;
                match file.function()? {
                    Some(function) => functions.push(function),
                    None => timers.extend(file.timer()?),
                }
            }
        }
        if functions.is_empty() {
            return Err(FunctionAppError::NoFunction(root.to_owned()));
        }
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        timers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root: root.to_owned(), host, functions, timers })
    }
}

/// A `function.json` and its path.
struct FunctionFile {
    path: PathBuf,
    json: FunctionJson,
}

#[derive(Deserialize)]
struct FunctionJson {
    bindings: Vec<BTreeMap<String, serde_json::Value>>,
    retry: Option<RetryPolicy>,
}

impl FunctionFile {
    fn read(path: PathBuf) -> Result<Self, FunctionAppError> {
        let json = read(&path)?;
        Ok(Self { path, json })
    }

    /// Returns the function, if it receives telemetry.
    fn function(&self) -> Result<Option<Function>, FunctionAppError> {
        let Some(trigger) = self.trigger()? else { return Ok(None) };
        let dead_letters = self.binding("queue")?.ok_or_else(|| {
            self.invalid("an output binding of type \"queue\" is missing: dead letters would be lost".into())
        })?;
        Ok(Some(Function { name: self.name(), trigger, dead_letters, retry: self.json.retry.clone() }))
    }

    /// Returns the trigger, if it delivers telemetry.
    fn trigger(&self) -> Result<Option<Trigger>, FunctionAppError> {
        if let Some(trigger) = self.binding("eventHubTrigger")? {
            return Ok(Some(Trigger::EventHub(trigger)));
        }
        let Some(trigger) = self.binding::<ServiceBusTrigger>("serviceBusTrigger")? else { return Ok(None) };
        if !trigger.is_sessions_enabled {
            return Err(self.invalid(
                "isSessionsEnabled must be true: without sessions the events of a device have no order".into(),
            ));
        }
        if trigger.cardinality != Cardinality::One {
            return Err(self.invalid(
                "cardinality must be \"one\": if one message of a batch fails, all of them are redelivered".into(),
            ));
        }
        Ok(Some(Trigger::ServiceBus(trigger)))
    }

    /// Returns the function, if it has a timer trigger.
    fn timer(&self) -> Result<Option<TimerFunction>, FunctionAppError> {
        let trigger = self.binding("timerTrigger")?;
        Ok(trigger.map(|trigger| TimerFunction { name: self.name(), trigger }))
    }

    /// Returns the first binding of this type.
    fn binding<T: for<'de> Deserialize<'de>>(&self, kind: &str) -> Result<Option<T>, FunctionAppError> {
        let of_kind = self.json.bindings.iter().find(|binding| binding.get("type").is_some_and(|t| t == kind));
        let read = of_kind.map(|binding| T::deserialize(into_value(binding))).transpose();
        read.map_err(|error| self.invalid(format!("the binding of type {kind:?}: {error}")))
    }

    fn name(&self) -> String {
        self.path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
    }

    fn invalid(&self, reason: String) -> FunctionAppError {
        FunctionAppError::Invalid { path: self.path.clone(), reason }
    }
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
    timespan::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a time span such as 00:01:00")))
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "-1" {
        return Ok(None);
    }
    let span = timespan::parse(&text);
    span.map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} is not a functionTimeout such as 00:05:00 or -1")))
}

/// Returns the timeout of a `host.json` without one: the shortest default of all hosting plans.
#[expect(clippy::unnecessary_wraps, reason = "serde requires the field's type")]
fn default_function_timeout() -> Option<Duration> {
    Some(Duration::from_mins(5))
}

fn default_initialization_timeout() -> Duration {
    Duration::from_secs(30)
}
