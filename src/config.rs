//! App settings in, configuration out. Every field names its setting; a value that makes no sense is an error that
//! names it too.

mod overflow;
mod queue;
mod session_queue;
mod store;

use std::time::Duration;

use devicestate_engine::{
    function_app::FunctionApp,
    handler::DEAD_LETTER_TIME,
    settings::{ConfigError, Settings},
    telemetry::drone::Drone,
    timespan,
};
use tracing_subscriber::filter::LevelFilter;

pub use overflow::OverflowConfig;
pub use queue::{QueueConfig, queue_connection};
pub use session_queue::locate_queues;
pub use store::StoreConfig;

/// The handler's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `StateStore`: where the documents are kept.
    pub store: StoreConfig,
    /// `TelemetryFormat` and `DeviceIdFromIoTHub`: how the events of drones are read.
    pub telemetry: Drone,
    /// `InvocationBudget`: the time within which an invocation is answered, as `hh:mm:ss`; one minute by default.
    pub invocation_budget: Duration,
    /// `StoreConcurrency`: how many devices of one batch are written at the same time; 32 by default.
    pub store_concurrency: usize,
    /// `DocumentCacheMegabytes`: how much memory the documents may take that were written last, in 2^20 bytes; 64 by
    /// default, 0 for none. With documents in memory there is none.
    pub document_cache_bytes: u64,
    /// `DeadLetterAfterAttempts`: how many attempts of a batch a device may fail in, while others of the batch
    /// succeed, before its events are dead-lettered; also after how many attempts a request is dead-lettered that
    /// cannot be read or makes the handler panic. 5 by default.
    pub dead_letter_after_attempts: u32,
    /// `RetryDrillDevice`: a device whose batches are answered 503 in their first attempt, to see that the host repeats
    /// them; none by default.
    pub retry_drill_device: Option<String>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; it names the setting.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let store = StoreConfig::from_settings(settings)?;
        Ok(Self {
            telemetry: Drone::from_settings(settings)?,
            invocation_budget: settings.parse(
                "InvocationBudget",
                Duration::from_mins(1),
                "a time span such as 00:01:00",
                |value| timespan::parse(value).filter(|span| !span.is_zero()),
            )?,
            store_concurrency: settings.parse("StoreConcurrency", 32, "a number from 1 to 1000", |value| {
                value.parse().ok().filter(|number| (1..=1000).contains(number))
            })?,
            document_cache_bytes: match &store {
                StoreConfig::Memory => 0,
                StoreConfig::Sqlite(_) | StoreConfig::Cosmos(_) => {
                    settings.parse("DocumentCacheMegabytes", 64 << 20, "a number of megabytes from 0 on", |value| {
                        value.parse::<u32>().ok().map(|megabytes| u64::from(megabytes) << 20)
                    })?
                }
            },
            dead_letter_after_attempts: settings.parse(
                "DeadLetterAfterAttempts",
                5,
                "a number from 1 on",
                |value| value.parse().ok().filter(|number| *number >= 1),
            )?,
            retry_drill_device: settings.get("RetryDrillDevice").map(str::to_owned),
            store,
        })
    }

    /// Whether every batch can be answered before the host loses patience: invariant 6.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Budget`].
    pub fn check_against(&self, app: &FunctionApp) -> Result<(), ConfigError> {
        let max_event_batch_size = app.host.extensions.event_hubs.max_event_batch_size;
        let dead_letters = DEAD_LETTER_TIME.saturating_mul(u32::try_from(max_event_batch_size).unwrap_or(u32::MAX));
        match app.host.function_timeout {
            Some(function_timeout) if self.invocation_budget.saturating_add(dead_letters) >= function_timeout => {
                Err(ConfigError::Budget { budget: self.invocation_budget, function_timeout, max_event_batch_size })
            }
            _ => Ok(()),
        }
    }
}

/// How much the handler logs: `LogLevel`, one of `error`, `warn`, `info` (the default), `debug`, `trace`, `off`.
///
/// # Errors
///
/// [`ConfigError`].
pub fn log_level(settings: &Settings) -> Result<LevelFilter, ConfigError> {
    settings.parse("LogLevel", LevelFilter::INFO, "error, warn, info, debug, trace or off", |value| value.parse().ok())
}

/// The port on which the host expects the handler: `FUNCTIONS_CUSTOMHANDLER_PORT`, or the older
/// `FUNCTIONS_HTTPWORKER_PORT`.
///
/// # Errors
///
/// [`ConfigError`].
pub fn port(settings: &Settings) -> Result<u16, ConfigError> {
    const NAMES: [&str; 2] = ["FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"];
    let setting = NAMES
        .into_iter()
        .find(|name| settings.get(name).is_some())
        .ok_or_else(|| ConfigError::missing(NAMES[0], "the host sets it; by hand, give the option --port"))?;
    settings.parse(setting, 0, "a port number", |value| value.parse().ok())
}
