//! The contents of `host.json`, as far as this product uses them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::timespan;

/// The contents of `host.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostJson {
    /// How long an invocation may last before the host kills the handler.
    #[serde(default = "default_function_timeout", deserialize_with = "deserialize_timeout")]
    pub function_timeout: Option<Duration>,
    /// The handler's process.
    pub custom_handler: CustomHandler,
    /// Settings of the binding extensions.
    #[serde(default)]
    pub extensions: Extensions,
    /// The host's log, for [`LogLevels`](super::LogLevels).
    #[serde(default)]
    pub logging: Value,
    /// Where the host exports its telemetry, if not to Application Insights by its own library.
    #[serde(default)]
    pub telemetry_mode: Value,
}

/// `customHandler` of `host.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomHandler {
    /// The process to start.
    pub description: Description,
    /// How long the handler may take until it answers for the first time.
    #[serde(default = "default_initialization_timeout", deserialize_with = "deserialize_span")]
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
    /// The HTTP extension.
    pub http: Http,
}

/// `extensions.eventHubs` of `host.json`, with the extension's defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventHubs {
    /// The maximum number of events in one batch.
    pub max_event_batch_size: usize,
    /// The minimum number of events in one batch, as long as `max_wait_time` allows.
    pub min_event_batch_size: usize,
    /// How long to wait for `min_event_batch_size` events.
    #[serde(deserialize_with = "deserialize_span")]
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
    /// The maximum number of sessions that an instance processes at the same time.
    pub max_concurrent_sessions: usize,
    /// The maximum number of messages of a session that are processed at the same time. With more than one, their order is lost.
    pub max_concurrent_calls_per_session: usize,
    /// How long an instance waits for the next message of a session before it accepts another session.
    #[serde(deserialize_with = "deserialize_span")]
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

/// `extensions.http` of `host.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http {
    /// The beginning of the path of every route; it may be empty.
    pub route_prefix: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { route_prefix: "api".to_owned() }
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

pub(super) fn deserialize_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    timespan::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a duration such as 00:01:00")))
}

pub(super) fn deserialize_optional_span<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deserialize_span(deserializer).map(Some)
}

fn deserialize_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
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
