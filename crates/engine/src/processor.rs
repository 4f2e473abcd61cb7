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
use cause::{Cause, Documents};
use decoded::DecodedBatch;
use future_times::FutureTimes;
pub use inspect::{InspectedRecord, inspect};
use record_outcomes::add_event_outcomes;
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
    /// How many devices the decoded records belong to. Each portion counts its own.
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
    /// A batch that does not fit in memory is decoded and written in portions. Their order changes no document, because readings have
    /// versions.
    ///
    /// Decoding a portion has at most half of the budget that is left, so that the store has the rest, whatever devices send. If
    /// the last bodies take longer, the batch does, too: otherwise no attempt would have time for the store.
    pub async fn process(&self, batch: &Batch) -> Processed {
        let mut decoded = DecodedBatch::new(batch);
        let mut run = Run::default();
        let mut outcomes = Vec::new();
        // When the budget began, later by the time by which decoding exceeded its share.
        let mut started = Instant::now();
        loop {
            let portion_started = Instant::now();
            let left = (started + self.budget).saturating_duration_since(portion_started);
            let deadline = portion_started + left / 2;
            self.decode(batch, &mut decoded, deadline).await;
            let decoded_at = Instant::now();
            run.processed.decode_time += decoded_at - portion_started;
            started += decoded_at.saturating_duration_since(deadline);
            run.outcomes = mem::take(&mut decoded.outcomes);
            if let Some(skipped) = &decoded.unrecognized {
                self.shared.unrecognized.warn(batch, &run.outcomes, skipped);
            }
            let devices = decoded.group_by_device();
            run.processed.devices += devices.len();
            run.processed.records += run.outcomes.len();
            run.can_reclassify = devices.len() > 1 || batch.message.is_some() || !decoded.is_complete();
            let cause = self.write(&mut run, devices, started, decoded_at).await;
            if !decoded.is_complete() {
                run.drop_copies();
            }
            let records =
                mem::take(&mut run.outcomes).into_iter().map(|outcome| outcome.expect("each record has an outcome"));
            add_event_outcomes(&mut outcomes, records.collect(), &decoded.events, batch.events.len());
            run.processed.store_time += decoded_at.elapsed();
            if cause == Cause::Store {
                for (index, outcome) in decoded.undecoded_outcomes() {
                    outcomes[index] = outcome;
                    run.processed.records += 1;
                }
            }
            if decoded.is_complete() {
                break;
            }
        }
        self.observer.record_decoding(run.processed.decode_time);
        Processed { outcomes, unusable_times: decoded.unusable_times, ..run.processed }
    }
}
