//! Why an event was not applied: the stage, the cause and a description.

use std::{error::Error, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The underlying error of a service or a file, of any type.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// The stage of processing at which an event failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The host's request, or this event in it, could not be read.
    Envelope,
    /// The body is not valid telemetry.
    Deserialize,
    /// The body was decoded, but its values are not valid.
    Validate,
    /// The state document could not be written.
    Update,
}

impl fmt::Display for Stage {
    /// Writes the stage as in a dead letter.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "envelope",
            Self::Deserialize => "deserialize",
            Self::Validate => "validate",
            Self::Update => "update",
        })
    }
}

/// The class of a failure by its cause, which decides whether a retry helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorClass {
    /// The event is the cause: it fails each time.
    Poison,
    /// The cause is unknown, perhaps the device: a retry may succeed.
    Transient,
    /// The load is the cause: the store limits its requests.
    Throttled,
    /// The store or its settings are the cause: no request succeeds until they are repaired.
    Systemic,
}

impl fmt::Display for ErrorClass {
    /// Writes the class as in a dead letter.
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
    /// The stage that failed.
    pub stage: Stage,
    /// The class of the cause.
    pub class: ErrorClass,
    /// A description of the failure.
    pub issue: String,
    /// The device id, if it could be decoded.
    pub device_id: Option<String>,
    /// The decoded readings, as the fields of a state document.
    pub device_state: Option<Value>,
    /// The other devices of the event whose records are unresolved, too.
    pub other_devices: Vec<String>,
}

impl Failure {
    /// Returns the ids of all devices that failed.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.device_id.iter().chain(&self.other_devices).map(String::as_str)
    }
}
