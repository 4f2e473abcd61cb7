//! Reads the app settings into typed configuration. The documentation of each field names its setting; the error of an
//! invalid value names it too.

mod overflow;
mod queue;
mod session_queue;
mod store;

use std::time::Duration;

use devicestate_engine::{
    function_app::FunctionApp,
    handler::DEAD_LETTER_TIME,
    processor::{IotHubTime, heard_every, max_readings},
    settings::{ConfigError, Settings},
    silence::silent_after,
    timespan,
};
use devicestate_read_api::IndexedFields;
use tracing_subscriber::filter::LevelFilter;

pub use overflow::OverflowConfig;
pub use queue::{QueueConfig, QueueConnection, queue_connection};
pub use session_queue::locate_queues;
pub use store::{SqliteConfig, StoreConfig};

/// The shortest `InvocationBudget`: a store needs this long to answer under load.
const MIN_BUDGET: Duration = Duration::from_secs(1);

/// The longest `InvocationBudget`. A partition waits as long for a store that does not answer.
const MAX_BUDGET: Duration = Duration::from_hours(24);

/// The handler's configuration, without its telemetry and the connections of its functions.
#[derive(Debug, Clone)]
pub struct Config {
    /// `StateStore`: the store of the documents.
    pub store: StoreConfig,
    /// `CosmosIndexedPaths`: the fields by which the read API may select devices.
    pub indexed: IndexedFields,
    /// `IoTHubTime`: which time orders the messages of an IoT Hub, `enqueued` or `created`. Default: `enqueued`.
    pub iot_hub_time: IotHubTime,
    /// `InvocationBudget`: the time limit of an invocation, from a second to a day, as `hh:mm:ss`. Default: one minute.
    pub invocation_budget: Duration,
    /// `StoreConcurrency`: how many devices of one batch are written concurrently, 1 to 1000. Default: 32, with SQLite
    /// 1000.
    pub store_concurrency: usize,
    /// `HeardEvery`: the least time between two writes of a document that only record that its device was heard again, as
    /// `hh:mm:ss`. With 0 each event is recorded. Default: five minutes.
    pub heard_every: Duration,
    /// `SilentAfter`: how long a device must not have been heard to be recorded as silent, as `hh:mm:ss`, at least twice
    /// `HeardEvery`. Default: none, so that the silence watch is off.
    pub silent_after: Option<Duration>,
    /// `MaxReadings`: the maximum number of readings of a document, 1 to 100000. Default: 1000.
    pub max_readings: usize,
    /// `DocumentCacheMegabytes`: the limit of the cache of recently written documents. The setting is in units of 2^20
    /// bytes; 0 disables the cache. Default: 64. The memory store has no cache.
    pub document_cache_bytes: u64,
    /// `DeadLetterAfterAttempts`: the events of a device are dead-lettered after the device has failed in this many
    /// attempts in which other devices of the batch succeeded. A request that cannot be read, or makes the handler
    /// panic, is dead-lettered after this many attempts too. Default: 5.
    pub dead_letter_after_attempts: u32,
    /// `RetryDrillDevice`: batches with an event of this device get status 503 in their first attempt, to verify that
    /// the host retries them. Default: none.
    pub retry_drill_device: Option<String>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the missing or invalid setting.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let store = StoreConfig::from_settings(settings)?;
        let heard_every = heard_every(settings)?;
        Ok(Self {
            indexed: store.indexed_fields(settings)?,
            iot_hub_time: settings.parse("IoTHubTime", IotHubTime::Enqueued, "`enqueued` or `created`", |value| {
                match value {
                    "enqueued" => Some(IotHubTime::Enqueued),
                    "created" => Some(IotHubTime::Created),
                    _ => None,
                }
            })?,
            invocation_budget: settings.parse(
                "InvocationBudget",
                Duration::from_mins(1),
                "a duration from 00:00:01 to 1.00:00:00, such as 00:01:00",
                |value| timespan::parse(value).filter(|span| (MIN_BUDGET..=MAX_BUDGET).contains(span)),
            )?,
            store_concurrency: {
                // A file has no limit of requests, and writes that wait for it at the same time share a transaction.
                let default = if matches!(store, StoreConfig::Sqlite(_)) { 1000 } else { 32 };
                settings.parse("StoreConcurrency", default, "an integer from 1 to 1000", |value| {
                    value.parse().ok().filter(|number| (1..=1000).contains(number))
                })?
            },
            heard_every,
            silent_after: silent_after(settings, heard_every)?,
            max_readings: max_readings(settings)?,
            document_cache_bytes: match &store {
                StoreConfig::Memory => 0,
                StoreConfig::Sqlite(_) | StoreConfig::Cosmos(_) => settings.parse(
                    "DocumentCacheMegabytes",
                    64 << 20,
                    "an integer of at least 0, in megabytes",
                    |value| value.parse::<u32>().ok().map(|megabytes| u64::from(megabytes) << 20),
                )?,
            },
            dead_letter_after_attempts: settings.parse(
                "DeadLetterAfterAttempts",
                5,
                "an integer of at least 1",
                |value| value.parse().ok().filter(|number| *number >= 1),
            )?,
            retry_drill_device: settings.get("RetryDrillDevice").map(str::to_owned),
            store,
        })
    }

    /// Checks that the handler can respond to every batch before the host's `functionTimeout` (invariant 6 of the engine).
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::Budget`] if the timeout is too short.
    pub fn check_budget(&self, app: &FunctionApp) -> Result<(), ConfigError> {
        let max_event_batch_size = app.host.extensions.event_hubs.max_event_batch_size;
        let dead_letter_time = DEAD_LETTER_TIME.saturating_mul(u32::try_from(max_event_batch_size).unwrap_or(u32::MAX));
        match app.host.function_timeout {
            Some(function_timeout) if self.invocation_budget.saturating_add(dead_letter_time) >= function_timeout => {
                Err(ConfigError::Budget { budget: self.invocation_budget, function_timeout, max_event_batch_size })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the level of the handler's log: `LogLevel`, one of `error`, `warn`, `info` (the default), `debug`, `trace`, `off`.
///
/// # Errors
///
/// Returns a [`ConfigError`] if the value is not one of them.
pub fn log_level(settings: &Settings) -> Result<LevelFilter, ConfigError> {
    settings.parse("LogLevel", LevelFilter::INFO, "`error`, `warn`, `info`, `debug`, `trace` or `off`", |value| {
        value.parse().ok()
    })
}

/// Returns the port to which the host connects: `FUNCTIONS_CUSTOMHANDLER_PORT`, or the older
/// `FUNCTIONS_HTTPWORKER_PORT`.
///
/// # Errors
///
/// Returns a [`ConfigError`] if both are missing, or the value is not a port number.
pub fn port(settings: &Settings) -> Result<u16, ConfigError> {
    const NAMES: [&str; 2] = ["FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"];
    let setting = NAMES.into_iter().find(|name| settings.get(name).is_some()).ok_or_else(|| {
        ConfigError::missing(NAMES[0], "the Functions host sets it; without the host, use the option `--port`")
    })?;
    settings.parse(setting, 0, "a port number from 0 to 65535", |value| value.parse().ok())
}
