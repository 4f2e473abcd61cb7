//! Reads the function app's files, `host.json` and `*/function.json`, as far as this product uses them.
//!
//! They contain what a request of the host does not: the names of the bindings, whether bodies are base64, how long an
//! invocation may last. `devicestate local` acts as the host according to them.

mod any_case;
mod bindings;
mod function_file;
mod host_json;
mod json;
mod log_levels;
mod overrides;
mod sampling;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::settings::Settings;
use function_file::{FunctionFile, Served};

pub use bindings::{
    AuthLevel, Cardinality, DataType, EventHubTrigger, HttpOutput, HttpTrigger, QueueOutput, RETURN_VALUE, RetryPolicy,
    ServiceBusTrigger, TimerTrigger, Trigger,
};
pub use host_json::{
    CustomHandler, Description, EventHubs, Extensions, HostJson, Http, MessageEncoding, Queues, ServiceBus,
};
pub use log_levels::{CONSOLE, LogLevel, LogLevels, user_category};
pub use overrides::apply_overrides;

/// A function app: its folder, its `host.json` and the functions that this handler serves.
#[derive(Debug)]
pub struct FunctionApp {
    /// The folder that holds `host.json`.
    pub root: PathBuf,
    /// The contents of `host.json`.
    pub host: HostJson,
    /// The functions that receive telemetry, by name. There is at least one.
    pub functions: Vec<Function>,
    /// The functions with a timer trigger, by name.
    pub timers: Vec<TimerFunction>,
    /// The functions with an HTTP trigger, by name.
    pub http: Vec<HttpFunction>,
    /// Why functions are not served, and what the host would lose or change of the enabled functions' events and records: one
    /// line for each reason.
    pub warnings: Vec<String>,
    /// Why one of the functions must not receive events.
    refusal: Option<FunctionAppError>,
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
    /// The retry policy; without one the host skips a failed batch. A message needs none: Service Bus delivers it again.
    pub retry: Option<RetryPolicy>,
}

/// A function with a timer trigger, which watches the dead-letter queues or the devices.
#[derive(Debug, Clone)]
pub struct TimerFunction {
    /// The folder's name; the host posts to `/{name}`.
    pub name: String,
    /// The timer trigger.
    pub trigger: TimerTrigger,
}

/// A function with an HTTP trigger, which answers requests for the state of devices.
#[derive(Debug, Clone)]
pub struct HttpFunction {
    /// The folder's name; the host posts to `/{name}`.
    pub name: String,
    /// The HTTP trigger.
    pub trigger: HttpTrigger,
    /// The name of the output binding for the answer, or [`RETURN_VALUE`].
    pub output: String,
}

/// Why the function app in a folder cannot be served.
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
    #[error("the file {} is invalid: {reason}", path.display())]
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
    /// Like the host, it skips a `function.json` that it cannot read, with a warning, and so an invalid one of a function that
    /// the file or the settings disable. A valid one is served even if disabled: the host's admin endpoint can still invoke
    /// it.
    ///
    /// # Errors
    ///
    /// Returns a [`FunctionAppError`] that names the file or folder.
    pub fn load(root: &Path, settings: &Settings) -> Result<Self, FunctionAppError> {
        let host_path = root.join("host.json");
        let host: HostJson = any_case::from_value(read_json(&host_path)?)
            .map_err(|error| FunctionAppError::Invalid { path: host_path, reason: error.to_string() })?;
        let unreadable = |error| FunctionAppError::Unreadable { path: root.to_owned(), error };
        let (mut functions, mut timers, mut http) = (Vec::new(), Vec::new(), Vec::new());
        let mut warnings = Vec::new();
        let (mut skipped, mut refusal) = (Vec::new(), None);
        let mut with_records = Vec::new();
        for entry in fs::read_dir(root).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path().join("function.json");
            if !path.is_file() {
                continue;
            }
            let file = match FunctionFile::read(path) {
                Ok(file) => file,
                Err(error) => {
                    skipped.push(error);
                    continue;
                }
            };
            let is_disabled = file.is_disabled(settings);
            match file.served() {
                Err(error) if is_disabled || file.has_http_trigger() => skipped.push(error),
                Err(error) => return Err(error),
                Ok(Some(Served::Telemetry(function))) => match file.refusal(&function) {
                    Some(error) if is_disabled => skipped.push(error),
                    refused => {
                        if !is_disabled {
                            with_records.push(function.name.clone());
                            warnings.extend(file.warnings(&function));
                        }
                        refusal = refusal.or(refused);
                        functions.push(*function);
                    }
                },
                Ok(Some(Served::Timer(timer))) => {
                    with_records.extend((!is_disabled).then(|| timer.name.clone()));
                    timers.push(timer);
                }
                Ok(Some(Served::Http(function))) => {
                    warnings.extend(file.http_warning(&function).filter(|_| !is_disabled));
                    http.push(function);
                }
                Ok(None) => {}
            }
        }
        warnings.extend(skipped.iter().map(|error| format!("a function is not served: {error}")));
        if functions.is_empty() {
            return Err(skipped.pop().unwrap_or_else(|| FunctionAppError::NoFunction(root.to_owned())));
        }
        with_records.sort();
        warnings.extend(LogLevels::new(&host.logging, settings).warning(&with_records));
        warnings.extend(sampling::warning(&host, settings));
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        timers.sort_by(|a, b| a.name.cmp(&b.name));
        http.sort_by(|a: &HttpFunction, b| a.name.cmp(&b.name));
        Ok(Self { root: root.to_owned(), host, functions, timers, http, warnings, refusal })
    }

    /// Returns the app if each of its functions may receive events. Tools that only read the files do not need this.
    ///
    /// # Errors
    ///
    /// Returns why a function must not: the host would lose events, or let a device choose their metadata.
    pub fn accepted(self) -> Result<Self, FunctionAppError> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(self),
        }
    }
}

/// Parses a JSON file as the host and Core Tools do: with a byte order mark, comments, trailing commas, and names and values of
/// enumerations in any letter case.
///
/// # Errors
///
/// Returns an error if the file is not JSON or does not match the type.
pub fn parse_json<T: for<'de> Deserialize<'de>>(file: &[u8]) -> serde_json::Result<T> {
    any_case::from_value(json::parse(file)?)
}

fn read_json(path: &Path) -> Result<serde_json::Value, FunctionAppError> {
    let file = fs::read(path).map_err(|error| FunctionAppError::Unreadable { path: path.to_owned(), error })?;
    json::parse(&file).map_err(|error| FunctionAppError::Invalid { path: path.to_owned(), reason: error.to_string() })
}
