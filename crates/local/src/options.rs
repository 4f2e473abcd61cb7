//! The options of a run or a drill.

use std::path::PathBuf;

use devicestate_engine::settings::{ConfigError, Settings};
use serde::Serialize;

use crate::{documents::Documents, invalid_events::InvalidEventRate, simulator::Encoding};

/// The rate of invalid events in the demonstration, unless the options give another one.
const DEMONSTRATION_INVALID_EVENT_RATE: InvalidEventRate = InvalidEventRate::from_percent(1);

/// The options of a run or a drill.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the function app; by default the working folder, or the shipped app if that has none.
    pub app_root: Option<PathBuf>,
    /// The source of the events.
    pub input: Input,
    /// How many consecutive records of a device of the file or the simulation are packed into one event, at most.
    pub pack: u32,
    /// How many invalid events to add; by default 1 % in a demonstration and none otherwise.
    pub invalid_events: Option<InvalidEventRate>,
    /// The number of the hub's partitions.
    pub partitions: usize,
    /// A queue with sessions instead of the hub.
    pub sessions: Option<Sessions>,
    /// The number of instances of the function app.
    pub instances: usize,
    /// What is served after and besides the input, in a run without an end.
    pub front: Option<Front>,
    /// Events per second of the input; without it, as fast as possible.
    pub rate: Option<u32>,
    /// The hub's throughput units; without it, the hub is never throttled.
    pub throughput_units: Option<u32>,
    /// The age in milliseconds of events and dead letters when they are enqueued, as after an outage.
    pub backdate_ms: i64,
    /// Whether to compare the documents with the fold of their events at the end. A demonstration always does.
    pub should_check: bool,
    /// The SQLite file for documents and dead letters; by default a new one in a temporary folder.
    pub state: Option<PathBuf>,
    /// The file for the run's telemetry.
    pub telemetry: Option<PathBuf>,
    /// Whether to copy the handlers' log to standard error.
    pub verbose: bool,
    /// Returns the store of the documents, by the handlers' settings.
    pub documents: fn(&Settings) -> Result<Documents, ConfigError>,
}

impl Options {
    /// Returns whether the run injects the faults of the demonstration.
    pub(crate) fn is_demonstration(&self) -> bool {
        matches!(self.input, Input::Sample) && self.sessions.is_none()
    }

    /// Returns whether events of several records are created.
    pub(crate) fn packs(&self) -> bool {
        self.pack > 1
    }

    /// Returns whether the events are those of drones: simulated ones, or the sample of the function app.
    pub(crate) fn simulates_drones(&self) -> bool {
        matches!(self.input, Input::Sample | Input::Simulation(_))
    }

    /// Returns how many invalid events to add.
    pub(crate) fn invalid_event_rate(&self) -> InvalidEventRate {
        let default =
            if self.is_demonstration() { DEMONSTRATION_INVALID_EVENT_RATE } else { InvalidEventRate::default() };
        self.invalid_events.unwrap_or(default)
    }

    /// Returns the number of events, invalid ones included, if it is known beforehand.
    pub(crate) fn known_events(&self) -> Option<u64> {
        match self.input {
            _ if self.packs() || self.front.as_ref().is_some_and(|front| front.takes_events) => None,
            Input::Simulation(Simulation { events, .. }) => Some(events + self.invalid_event_rate().count_for(events)),
            Input::Sample | Input::File(_) | Input::None => None,
        }
    }
}

/// What a run serves on a port of this machine, until a signal ends it.
#[derive(Debug, Clone)]
pub struct Front {
    /// The port; 0 for a free one.
    pub port: u16,
    /// Whether it takes events.
    pub takes_events: bool,
    /// Whether it shows the live page.
    pub shows_page: bool,
    /// How the user calls this program: the page names it in commands.
    pub program: String,
}

/// Options of the queue with sessions.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    /// The maximum number of deliveries before a message is moved to the dead-letter sub-queue.
    pub max_delivery_count: u32,
}

/// The source of the events.
#[derive(Debug, Clone)]
pub enum Input {
    /// The sample telemetry of the function app; if the app has none, ten simulated devices.
    Sample,
    /// A file, or standard input for `-`.
    File(PathBuf),
    /// Simulated devices.
    Simulation(Simulation),
    /// None besides the events that are sent by HTTP.
    None,
}

/// Simulated devices and their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// The number of devices.
    pub devices: usize,
    /// The number of events of all devices.
    pub events: u64,
    /// The encoding of the events.
    pub encoding: Encoding,
    /// The same seed simulates the same events.
    pub seed: u64,
}
