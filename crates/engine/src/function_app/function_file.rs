//! A `function.json`: which function it declares, and why it cannot be served.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    AuthLevel, Cardinality, DataType, EventHubTrigger, Function, FunctionAppError, HttpFunction, HttpOutput,
    HttpTrigger, RETURN_VALUE, RetryPolicy, ServiceBusTrigger, TimerFunction, Trigger, any_case, read_json,
};
use crate::settings::Settings;

/// A `function.json` that the host accepts.
pub(super) struct FunctionFile {
    path: PathBuf,
    name: String,
    json: Map<String, Value>,
    bindings: Vec<Map<String, Value>>,
}

/// What this handler serves of a function app.
pub(super) enum Served {
    Telemetry(Box<Function>),
    Timer(TimerFunction),
    Http(HttpFunction),
}

impl FunctionFile {
    /// Reads the file of a folder.
    ///
    /// # Errors
    ///
    /// Returns a [`FunctionAppError`] if the host does not load the function either.
    pub(super) fn read(path: PathBuf) -> Result<Self, FunctionAppError> {
        let name = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let invalid = |reason: &str| FunctionAppError::Invalid { path: path.clone(), reason: reason.to_owned() };
        if !is_function_name(&name) {
            return Err(invalid(
                "the folder has no name of a function: a letter, then at most 127 letters, digits, `_` or `-`",
            ));
        }
        let Value::Object(json) = read_json(&path)? else { return Err(invalid("it is not an object")) };
        // The host reads this name in this case only.
        let bindings = json.get("bindings").and_then(Value::as_array).filter(|bindings| !bindings.is_empty());
        let bindings = bindings.ok_or_else(|| invalid("it has no bindings"))?;
        let bindings = bindings.iter().map(|binding| binding.as_object().cloned()).collect::<Option<_>>();
        let bindings = bindings.ok_or_else(|| invalid("a binding is not an object"))?;
        Ok(Self { path, name, json, bindings })
    }

    /// Returns true if the file or an app setting disables the function.
    pub(super) fn is_disabled(&self, settings: &Settings) -> bool {
        // Names of variables without dots are for Linux.
        let names = [format!("AzureWebJobs.{}.Disabled", self.name), format!("AzureWebJobs_{}_Disabled", self.name)];
        let is_set = |name: &str| {
            settings.get(name).is_some_and(|value| value == "1" || value.trim().eq_ignore_ascii_case("true"))
        };
        let is_in_file = match any_case::member(&self.json, "disabled") {
            Some(Value::Bool(is_disabled)) => *is_disabled,
            // The name of a setting.
            Some(Value::String(name)) => is_set(name),
            _ => false,
        };
        is_in_file || names.iter().any(|name| is_set(name))
    }

    /// Returns the function, if this handler serves functions with its trigger.
    pub(super) fn served(&self) -> Result<Option<Served>, FunctionAppError> {
        let Some(trigger) = self.trigger()? else {
            if let Some(trigger) = self.binding("httpTrigger")? {
                return self.http_function(trigger).map(|function| Some(Served::Http(function)));
            }
            let timer = self.binding("timerTrigger")?;
            return Ok(timer.map(|trigger| Served::Timer(TimerFunction { name: self.name.clone(), trigger })));
        };
        let dead_letters = self.binding("queue")?.ok_or_else(|| {
            self.invalid("an output binding of type \"queue\" is missing: dead letters would be lost".into())
        })?;
        // The host reads this name in this case only, too.
        let retry = self.json.get("retry").cloned().map(any_case::from_value).transpose();
        let retry = retry.map_err(|error| self.invalid(format!("retry: {error}")))?.flatten();
        let function = Function { name: self.name.clone(), trigger, dead_letters, retry };
        Ok(Some(Served::Telemetry(function.into())))
    }

    /// Returns the function with this HTTP trigger.
    fn http_function(&self, trigger: HttpTrigger) -> Result<HttpFunction, FunctionAppError> {
        let HttpOutput { name: output } = self.binding("http")?.ok_or_else(|| {
            self.invalid("an output binding of type \"http\" is missing: callers would get no answer".into())
        })?;
        Ok(HttpFunction { name: self.name.clone(), trigger, output })
    }

    /// Returns true if the function has an HTTP trigger. An error in its file must not keep events from being processed.
    pub(super) fn has_http_trigger(&self) -> bool {
        self.find("httpTrigger").is_some()
    }

    /// Returns why a function with an HTTP trigger is not safe.
    pub(super) fn http_warning(&self, function: &HttpFunction) -> Option<String> {
        (function.trigger.auth_level == AuthLevel::Anonymous).then(|| {
            format!(
                "the file {} has the authLevel \"anonymous\": anyone who knows the address can read the state of every \
                 device; set `\"authLevel\": \"function\"`",
                self.path.display()
            )
        })
    }

    /// Returns what the host would lose or change of this function's events, one line for each reason.
    pub(super) fn warnings(&self, function: &Function) -> Vec<String> {
        let Trigger::EventHub(trigger) = &function.trigger else { return Vec::new() };
        let mut warnings = Vec::new();
        if function.retry.as_ref().is_none_or(|retry: &RetryPolicy| retry.max_retry_count() == 0) {
            warnings.push(format!(
                "the file {} has no retries: during an outage of the store all events become dead letters, and the batch \
                 of a handler that ends is lost; set `\"retry\": {{\"strategy\": \"exponentialBackoff\", \
                 \"maxRetryCount\": -1, \"minimumInterval\": \"00:00:01\", \"maximumInterval\": \"00:01:00\"}}`",
                self.path.display()
            ));
        }
        if trigger.data_type != DataType::Binary {
            warnings.push(format!(
                "the file {} has a dataType other than \"binary\": the host replaces invalid UTF-8, so protobuf events \
                 cannot be read, and dead letters do not have the sent bytes; set `\"dataType\": \"binary\"`",
                self.path.display()
            ));
        }
        warnings
    }

    /// Returns the trigger, if it delivers telemetry.
    fn trigger(&self) -> Result<Option<Trigger>, FunctionAppError> {
        if let Some(trigger) = self.binding::<EventHubTrigger>("eventHubTrigger")? {
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

    /// Returns why this function must not receive events: the host would lose some, or let a device choose their metadata.
    pub(super) fn refusal(&self, function: &Function) -> Option<FunctionAppError> {
        match &function.trigger {
            Trigger::EventHub(trigger) => match (trigger.cardinality, trigger.data_type) {
                (_, DataType::Binary) | (Cardinality::Many, DataType::String) => None,
                (Cardinality::Many, DataType::Json) => Some(self.invalid_data_type(
                    "is not set: the host fails the entire batch, and skips it, for one body that is not JSON",
                )),
                // By the host's source it copies objects, too, such as `SystemProperties`: no position would be safe.
                (Cardinality::One, _) => Some(self.invalid_data_type(
                    "is not \"binary\": members of a JSON body overwrite metadata of the event, such as its sequence \
                     number, so events have no reliable order",
                )),
            },
            Trigger::ServiceBus(trigger) if !trigger.auto_complete_messages => Some(self.invalid(
                "autoCompleteMessages is false: a processed message would be delivered again, up to the maximum, because \
                 a custom handler cannot complete it; remove it"
                    .into(),
            )),
            Trigger::ServiceBus(trigger) if trigger.data_type != DataType::Binary => Some(self.invalid_data_type(
                "is not \"binary\": members of a JSON body overwrite metadata of the message, such as its session and \
                 sequence number, so events have no reliable order",
            )),
            Trigger::ServiceBus(_) => None,
        }
    }

    /// Returns the first binding of this type as JSON.
    fn find(&self, kind: &str) -> Option<&Map<String, Value>> {
        self.bindings.iter().find(|binding| {
            let value = any_case::member(binding, "type").and_then(Value::as_str);
            value.is_some_and(|value| value.eq_ignore_ascii_case(kind))
        })
    }

    /// Returns the first binding of this type.
    fn binding<T: for<'de> Deserialize<'de>>(&self, kind: &str) -> Result<Option<T>, FunctionAppError> {
        let Some(binding) = self.find(kind) else { return Ok(None) };
        let invalid = |reason: String| self.invalid(format!("the binding of type {kind:?}: {reason}"));
        let name = any_case::member(binding, "name").and_then(Value::as_str);
        if let Some(name) = name
            && !is_name(name, "")
            && (name != RETURN_VALUE || !["queue", "http"].contains(&kind))
        {
            return Err(invalid(format!(
                "the name {name:?} must be a letter and at most 127 letters and digits, or \"$return\" for an output"
            )));
        }
        any_case::from_value(Value::Object(binding.clone())).map(Some).map_err(|error| invalid(error.to_string()))
    }

    fn invalid_data_type(&self, reason: &str) -> FunctionAppError {
        self.invalid(format!("dataType {reason}; set `\"dataType\": \"binary\"` in the trigger"))
    }

    fn invalid(&self, reason: String) -> FunctionAppError {
        FunctionAppError::Invalid { path: self.path.clone(), reason }
    }
}

/// Returns true if the host accepts this name of a function. Others could be patterns in a route.
fn is_function_name(name: &str) -> bool {
    is_name(name, "_-") && !name.eq_ignore_ascii_case("host")
}

/// Returns true for a letter that at most 127 letters, digits or `others` follow.
fn is_name(name: &str, others: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}
