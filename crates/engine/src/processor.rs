//! Processes a batch: decodes the events, folds them by device and writes each device once.
//!
//! HTTP, dead letters and retries are in [`handler`](crate::handler).

mod backoff;
mod cache;
mod cause;
mod counters;
mod decoded;
mod decoded_bytes;
mod device;
mod failing_documents;
mod future_times;
mod inspect;
mod known_documents;
mod outcomes;
mod reading_limit;
mod record_outcomes;
mod unrecognized;
mod write;

use std::{
    mem,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    batch::Batch,
    clock::{Clock, Random},
    device_state::document_id,
    failure::Failure,
    observer::Observer,
    settings::{ConfigError, Settings},
    store::{Operations, StateStore},
    telemetry::Telemetry,
    timespan,
};
pub use cache::DocumentCache;
use cause::Documents;
use future_times::FutureTimes;
pub use inspect::{InspectedRecord, inspect};
use record_outcomes::event_outcomes;
use unrecognized::UnrecognizedWarning;
use write::Run;

/// The outcome of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// At least one reading is newer than the document before this batch, or the event has no readings.
    Applied,
    /// The event has readings, and none of them is newer.
    Superseded,
    /// The event has fields, but no reading, so nothing of it is stored.
    Unrecognized,
    /// The event is not telemetry: IoT Hub reports a change of a device.
    Ignored,
    /// The event can never be applied, or its device is known to be faulty and has failed again.
    Failed(Failure),
    /// The event could not be applied in this attempt.
    Unresolved(Failure),
}

/// The result of processing a batch.
#[derive(Debug, Default)]
pub struct Processed {
    /// One outcome for each event, in the batch's order.
    pub outcomes: Vec<Outcome>,
    /// How many devices the decoded records belong to.
    pub devices: usize,
    /// The number of records. An event that is not decoded counts as one.
    pub records: usize,
    /// The number of records that are ordered by the time at which they were enqueued, because the device's clock cannot be right.
    pub unusable_times: usize,
    /// The operations on the store.
    pub operations: Operations,
    /// Whether the store accepted a write while this batch was processed, and also other documents if a device failed. Only
    /// then may an unresolved device be the cause of its own failure.
    pub store_accepts_writes: bool,
    /// Whether the store accepted any write or probe while this batch was processed.
    pub has_accepted_write: bool,
    /// The time for decoding.
    pub decode_time: Duration,
    /// The time for reading and writing documents.
    pub store_time: Duration,
}

/// Which time of a message of IoT Hub orders it among those of its device: the setting `IoTHubTime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IotHubTime {
    /// When IoT Hub accepted the message.
    #[default]
    Enqueued,
    /// When the device created the message, by its own clock, but at most when it was accepted. A message without that time
    /// has the time at which it was accepted.
    Created,
}

/// Processes batches. All dependencies are passed in, so that tests and simulations can replace them.
pub struct Processor {
    /// Decodes the events.
    pub telemetry: Arc<dyn Telemetry>,
    /// Stores the documents.
    pub store: Arc<dyn StateStore>,
    /// Which time orders the messages of IoT Hub.
    pub iot_hub_time: IotHubTime,
    /// Caches the documents that were read or written last.
    pub cache: DocumentCache,
    /// The wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the jitter of backoffs.
    pub random: Arc<dyn Random>,
    /// Receives the records.
    pub observer: Arc<dyn Observer>,
    /// The time limit of a batch. An event without an outcome at that time is unresolved.
    pub budget: Duration,
    /// The maximum number of devices that are written at the same time.
    pub concurrency: usize,
    /// The least time between two writes of a document that only record that its device was heard again.
    pub heard_every: Duration,
    /// The maximum number of readings of a document.
    pub max_readings: usize,
    /// The state that all batches of this process share.
    pub shared: Shared,
}

/// Reads the setting `HeardEvery`: the least time between two writes of a document that only record that its device was heard
/// again. Zero records each event.
///
/// # Errors
///
/// Returns a [`ConfigError`] if the value is not a duration.
pub fn heard_every(settings: &Settings) -> Result<Duration, ConfigError> {
    let expected = "a duration such as 00:05:00, or 00:00:00 to record each event";
    settings.parse("HeardEvery", Duration::from_mins(5), expected, timespan::parse)
}

/// Reads the setting `MaxReadings`: the maximum number of readings of a document, from 1 to 100000.
///
/// # Errors
///
/// Returns a [`ConfigError`] if the value is another one.
pub fn max_readings(settings: &Settings) -> Result<usize, ConfigError> {
    settings.parse("MaxReadings", 1000, "an integer from 1 to 100000", |value| {
        value.parse().ok().filter(|number| (1..=100_000).contains(number))
    })
}

/// The state that all batches of a process share.
#[derive(Debug, Default)]
pub struct Shared {
    /// What is known of the documents of the store.
    documents: Documents,
    /// The warning of unrecognized events.
    unrecognized: UnrecognizedWarning,
    /// The last arrival time that was given to events without a position, in milliseconds since 1970.
    last_arrival_ms: AtomicI64,
    /// The warnings of times that are far ahead.
    future_times: FutureTimes,
}

impl Shared {
    /// Remembers for some minutes that a device is faulty: the store has accepted others while it failed in all its attempts.
    /// Until its document is written, the device gets one try per batch.
    pub fn remember_faulty_device(&self, device_id: &str) {
        self.documents.failing.set_faulty(&document_id(device_id));
    }
}

impl Processor {
    /// Processes a batch, and returns one outcome for each event. Takes no longer than the budget.
    ///
    /// Decoding has at most the first half of it, so that the store has the rest, whatever devices send. If the last bodies
    /// take longer, the batch does, too: otherwise no attempt would have time for the store.
    pub async fn process(&self, batch: &Batch) -> Processed {
        let started = Instant::now();
        let mut decoded = self.decode(batch, started + self.budget / 2).await;
        self.observer.record_decoding(started.elapsed());
        let outcomes = mem::take(&mut decoded.outcomes);
        if let Some(skipped) = &decoded.unrecognized {
            self.shared.unrecognized.warn(batch, &outcomes, skipped);
        }
        let devices = decoded.group_by_device();
        let decoded_at = Instant::now();
        let mut run = Run {
            can_reclassify: devices.len() > 1 || batch.message.is_some(),
            processed: Processed {
                devices: devices.len(),
                records: outcomes.len(),
                unusable_times: decoded.unusable_times,
                decode_time: decoded_at - started,
                ..Processed::default()
            },
            outcomes,
        };
        let overrun = decoded_at.saturating_duration_since(started + self.budget / 2);
        self.write(&mut run, devices, started + overrun, decoded_at).await;
        let outcomes = run.outcomes.into_iter().map(|outcome| outcome.expect("each record has an outcome"));
        run.processed.outcomes = event_outcomes(outcomes.collect(), &decoded.events, batch.events.len());
        run.processed.store_time = decoded_at.elapsed();
        run.processed
    }
}
