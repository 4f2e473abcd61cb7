//! The contents of a `function.json`: triggers, the output binding for dead letters, the retry policy.

use std::time::Duration;

use serde::Deserialize;

use super::host_json::deserialize_optional_span;
use crate::batch::Source;

/// A trigger that delivers telemetry.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// An event hub: an invocation has a batch of one partition.
    EventHub(EventHubTrigger),
    /// A Service Bus queue with sessions: an invocation has one message.
    ServiceBus(ServiceBusTrigger),
}

impl Trigger {
    /// Returns the name of the events in the request.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::EventHub(trigger) => &trigger.name,
            Self::ServiceBus(trigger) => &trigger.name,
        }
    }

    /// Returns whether an invocation has one event or a batch.
    #[must_use]
    pub fn cardinality(&self) -> Cardinality {
        match self {
            Self::EventHub(trigger) => trigger.cardinality,
            Self::ServiceBus(_) => Cardinality::One,
        }
    }

    /// Returns the form of a body in the request.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::EventHub(trigger) => trigger.data_type,
            Self::ServiceBus(trigger) => trigger.data_type,
        }
    }

    /// Returns the prefix of the settings for the namespace.
    #[must_use]
    pub fn connection(&self) -> &str {
        match self {
            Self::EventHub(trigger) => &trigger.connection,
            Self::ServiceBus(trigger) => &trigger.connection,
        }
    }
}

/// An `eventHubTrigger` binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventHubTrigger {
    /// The name of the events in the request.
    pub name: String,
    /// The hub's name, or the name of its setting between two `%`.
    pub event_hub_name: String,
    /// The consumer group, or the name of its setting between two `%`.
    #[serde(default = "default_consumer_group")]
    pub consumer_group: String,
    /// The prefix of the settings for the namespace.
    pub connection: String,
    /// One event or a batch per invocation. It is required, since the extension's default has changed in the past.
    pub cardinality: Cardinality,
    /// The form of a body in the request.
    #[serde(default)]
    pub data_type: DataType,
}

/// A `serviceBusTrigger` binding of a queue with sessions, with one message per invocation: if one message of a batch failed,
/// all of them would be redelivered.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBusTrigger {
    /// The name of the message in the request.
    pub name: String,
    /// The queue's name, or the name of its setting between two `%`.
    pub queue_name: String,
    /// The prefix of the settings for the namespace.
    pub connection: String,
    /// Whether the queue has sessions. Service Bus keeps the messages of a device in order only with sessions.
    #[serde(default)]
    pub is_sessions_enabled: bool,
    /// One message per invocation, which is the host's default, or a batch.
    #[serde(default = "default_cardinality")]
    pub cardinality: Cardinality,
    /// The form of a body in the request.
    #[serde(default)]
    pub data_type: DataType,
    /// Whether the host completes a message after a reply with status 200, which is its default.
    #[serde(default = "default_auto_complete_messages")]
    pub auto_complete_messages: bool,
    /// The namespace and the queue, which requests do not have. The program sets them from the app settings.
    #[serde(skip)]
    pub source: Source,
}

/// The `cardinality` of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cardinality {
    /// A batch.
    Many,
    /// One event.
    One,
}

/// The `dataType` of a trigger: the form of a body in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Unset or `undefined`: JSON in a batch, which the host serializes again; text for a single event.
    #[default]
    #[serde(rename = "undefined")]
    Json,
    /// Text, in which the host has replaced invalid UTF-8.
    String,
    /// Base64 of the exact bytes.
    Binary,
}

/// A `timerTrigger` binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimerTrigger {
    /// The name of the timer's state in the request.
    pub name: String,
    /// When the function is due: an NCRONTAB expression.
    #[serde(default)]
    pub schedule: String,
    /// Whether the host stores the schedule in the storage account, so that it catches up on missed times. The default is true.
    #[serde(default = "default_use_monitor")]
    pub use_monitor: bool,
}

/// An `httpTrigger` binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpTrigger {
    /// The name of the request in the request of the host.
    pub name: String,
    /// The path after the app's prefix, with parameters in braces. The default is the name of the function.
    pub route: Option<String>,
    /// Which key a caller needs.
    #[serde(default)]
    pub auth_level: AuthLevel,
}

/// The `authLevel` of an HTTP trigger: which key a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthLevel {
    /// None.
    Anonymous,
    /// A key of the function or of the host.
    #[default]
    Function,
    /// The master key.
    Admin,
}

/// An `http` output binding.
#[derive(Debug, Clone, Deserialize)]
pub struct HttpOutput {
    /// The name of the answer in the reply, or [`RETURN_VALUE`].
    pub name: String,
}

/// The name of an output binding whose value the host takes from `ReturnValue` of a reply, and never from `Outputs`.
pub const RETURN_VALUE: &str = "$return";

/// A `queue` output binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueOutput {
    /// The name of the messages in the reply, or [`RETURN_VALUE`].
    pub name: String,
    /// The queue's name.
    pub queue_name: String,
    /// The prefix of the settings for the storage account, or the name of its setting between two `%`. If empty, the host's
    /// own account is used.
    #[serde(default)]
    pub connection: String,
}

impl QueueOutput {
    /// Returns the binding of the app that ships.
    #[must_use]
    pub fn shipped() -> Self {
        Self {
            name: "deadLetterMessages".to_owned(),
            queue_name: "deadletterqueue".to_owned(),
            connection: "DeadLetterStorage".to_owned(),
        }
    }
}

/// The retry policy: `retry` of `function.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RetryJson")]
pub enum RetryPolicy {
    /// The delay doubles from `minimum_interval` to `maximum_interval`.
    ExponentialBackoff {
        /// The maximum number of retries; -1 is unlimited.
        max_retry_count: i64,
        /// The first delay.
        minimum_interval: Duration,
        /// The longest delay.
        maximum_interval: Duration,
    },
    /// The delay is always the same.
    FixedDelay {
        /// The maximum number of retries; -1 is unlimited.
        max_retry_count: i64,
        /// The delay.
        delay_interval: Duration,
    },
}

/// The members of `retry`, of which each strategy needs some.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetryJson {
    #[serde(default)]
    strategy: Strategy,
    max_retry_count: i64,
    #[serde(default, deserialize_with = "deserialize_optional_span")]
    delay_interval: Option<Duration>,
    #[serde(default, deserialize_with = "deserialize_optional_span")]
    minimum_interval: Option<Duration>,
    #[serde(default, deserialize_with = "deserialize_optional_span")]
    maximum_interval: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Strategy {
    #[default]
    ExponentialBackoff,
    FixedDelay,
}

impl TryFrom<RetryJson> for RetryPolicy {
    type Error = &'static str;

    fn try_from(json: RetryJson) -> Result<Self, Self::Error> {
        let max_retry_count = json.max_retry_count;
        Ok(match json.strategy {
            Strategy::ExponentialBackoff => Self::ExponentialBackoff {
                max_retry_count,
                minimum_interval: json.minimum_interval.ok_or("minimumInterval is missing")?,
                maximum_interval: json.maximum_interval.ok_or("maximumInterval is missing")?,
            },
            Strategy::FixedDelay => Self::FixedDelay {
                max_retry_count,
                delay_interval: json.delay_interval.ok_or("delayInterval is missing")?,
            },
        })
    }
}

impl RetryPolicy {
    /// Returns the most retries of a batch; -1 is unlimited.
    #[must_use]
    pub fn max_retry_count(&self) -> i64 {
        match self {
            Self::ExponentialBackoff { max_retry_count, .. } | Self::FixedDelay { max_retry_count, .. } => {
                *max_retry_count
            }
        }
    }

    /// Returns the delay before the retry with this number, from 1.
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

fn default_consumer_group() -> String {
    "$Default".into()
}

fn default_cardinality() -> Cardinality {
    Cardinality::One
}

fn default_auto_complete_messages() -> bool {
    true
}

fn default_use_monitor() -> bool {
    true
}
