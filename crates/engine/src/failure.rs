//! Why an event was not applied: where it failed, whose fault that is, and what happened.

use std::{error::Error, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What lies behind a failure of a service or a file, whoever implements it here.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Where on its way an event failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The host's request could not be read, or not this event in it.
    Envelope,
    /// The body is not the telemetry that it should be.
    Deserialize,
    /// The body was read, but what it says is not valid.
    Validate,
    /// The state document could not be written.
    Update,
}

impl fmt::Display for Stage {
    /// As in the message.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "envelope",
            Self::Deserialize => "deserialize",
            Self::Validate => "validate",
            Self::Update => "update",
        })
    }
}

/// Whose fault a failure is, and so whether trying again helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorClass {
    /// The event's: it fails each time.
    Poison,
    /// Perhaps this device's: it may go better later.
    Transient,
    /// Nobody's: the store is asked for more than it does.
    Throttled,
    /// The system's: nothing goes better until somebody repairs it.
    Systemic,
}

impl fmt::Display for ErrorClass {
    /// As in the message.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Poison => "poison",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Systemic => "systemic",
        })
    }
}

/// Why one event was not applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Where it failed.
    pub stage: Stage,
    /// Whose fault it is.
    pub class: ErrorClass,
    /// What happened, for people.
    pub issue: String,
    /// The device, as far as the event could be decoded.
    pub device_id: Option<String>,
    /// What was decoded, as a state document's fields.
    pub device_state: Option<Value>,
}
