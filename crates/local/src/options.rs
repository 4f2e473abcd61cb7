//! What to run.

use std::path::PathBuf;

use devicestate_engine::settings::{ConfigError, Settings};

use crate::{bad_events::BadEvents, documents::Documents, simulator::Wire};

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The function app's folder.
    pub app_root: PathBuf,
    /// Where the events come from.
    pub input: Input,
    /// How many bad events to add to each thousand.
    pub bad_events_per_mille: u64,
    /// How many partitions the hub has.
    pub partitions: usize,
    /// A queue with sessions, in place of the hub.
    pub sessions: Option<Sessions>,
    /// How many instances of the function app share the one or the other.
    pub instances: usize,
    /// How many events are sent a second; as many as go without it.
    pub rate: Option<u32>,
    /// How many throughput units the hub has; without it, it takes all that comes.
    pub throughput_units: Option<u32>,
    /// For how long, in milliseconds, events and dead letters lie there already, as after an outage.
    pub ago_ms: i64,
    /// The SQLite file for documents and dead letters; a new one in a temporary folder without it.
    pub state: Option<PathBuf>,
    /// The file for what Azure Monitor would have of the run.
    pub telemetry: Option<PathBuf>,
    /// Whether to pass on what the handlers log.
    pub verbose: bool,
    /// Says where the documents are, by the settings that the handlers get.
    pub documents: fn(&Settings) -> Result<Documents, ConfigError>,
}

impl Options {
    /// How many events there will be, bad ones included, where that is known beforehand.
    pub(crate) fn known_events(&self) -> Option<u64> {
        match self.input {
            Input::Simulate { events, .. } => Some(events + BadEvents::among(events, self.bad_events_per_mille)),
            Input::Sample | Input::File(_) => None,
        }
    }
}

/// How the queue with sessions is.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    /// How often a message is delivered in vain before it goes to the dead-letter sub-queue.
    pub max_delivery_count: u32,
}

/// Where the events come from.
#[derive(Debug, Clone)]
pub enum Input {
    /// The telemetry that ships with the function app; ten simulated devices with one that has none.
    Sample,
    /// A file, or standard input for `-`.
    File(PathBuf),
    /// Simulated devices.
    Simulate {
        /// How many.
        devices: usize,
        /// How many events they send in all.
        events: u64,
        /// In which format.
        wire: Wire,
        /// What makes it repeatable.
        seed: u64,
    },
}
