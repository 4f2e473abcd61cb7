//! What a `function.json` holds: triggers, the output binding of the dead letters, the retry policy.

use std::time::Duration;

use serde::Deserialize;

use super::span;
use crate::batch::Source;

/// What calls a function with telemetry.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// An event hub, with a batch of one partition.
    EventHub(EventHubTrigger),
    /// A Service Bus queue with sessions, with one message.
    ServiceBus(ServiceBusTrigger),
}

impl Trigger {
    /// The name under which the request holds what came.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::EventHub(trigger) => &trigger.name,
            Self::ServiceBus(trigger) => &trigger.name,
        }
    }

    /// How much comes in an invocation.
    #[must_use]
    pub fn cardinality(&self) -> Cardinality {
        match self {
            Self::EventHub(trigger) => trigger.cardinality,
            Self::ServiceBus(_) => Cardinality::One,
        }
    }

    /// In which form the request holds a body.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::EventHub(trigger) => trigger.data_type,
            Self::ServiceBus(trigger) => trigger.data_type,
        }
    }

    /// The prefix of the settings that tell the namespace.
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

/// A `serviceBusTrigger` binding of a queue with sessions, one message an invocation: in a batch, one message that fails
/// would have all of them delivered again.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBusTrigger {
    /// The name under which the request holds the message.
    pub name: String,
    /// The queue's name, or the setting that has it between two `%`.
    pub queue_name: String,
    /// The prefix of the settings that tell the namespace.
    pub connection: String,
    /// Whether sessions keep the messages of a device in order. Nothing else of Service Bus does.
    #[serde(default)]
    pub is_sessions_enabled: bool,
    /// One message an invocation, which is the host's default, or a batch.
    #[serde(default = "default_cardinality")]
    pub cardinality: Cardinality,
    /// In which form the request holds a body.
    #[serde(default)]
    pub data_type: DataType,
    /// Namespace and queue, which no request of the host has. The program fills them in, as far as the settings do.
    #[serde(skip)]
    pub source: Source,
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

/// A `timerTrigger` binding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimerTrigger {
    /// The name under which the request holds the timer's state.
    pub name: String,
    /// Whether the host keeps its times in the storage account, so that one that was missed is made up for. It does by
    /// default.
    #[serde(default = "default_use_monitor")]
    pub use_monitor: bool,
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

fn default_consumer_group() -> String {
    "$Default".into()
}

fn default_cardinality() -> Cardinality {
    Cardinality::One
}

fn default_use_monitor() -> bool {
    true
}
