//! The instruments, and how they are updated from records. `docs/operate/opentelemetry.md` lists them.

use std::sync::Arc;

use devicestate_engine::{
    processor::Processor,
    record::{AttemptRecord, BatchRecord, DeadLetterRecord, FailedAttemptRecord, Record, SourceRecord},
    store::Operations,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

/// Bucket boundaries in seconds, from 0.1 ms, because decoding can be that fast.
const DURATION_BOUNDS: [f64; 16] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];
/// Bucket boundaries in seconds, up to a day, the lag after a long outage.
const LAG_BOUNDS: [f64; 16] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 10_800.0, 43_200.0, 86_400.0];
/// Bucket boundaries in events.
const BATCH_SIZE_BOUNDS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0];

/// The instruments.
pub(super) struct Metrics {
    events: Counter<u64>,
    attempts: Counter<u64>,
    dead_letters: Counter<u64>,
    operations: Counter<u64>,
    conflicts: Counter<u64>,
    retries: Counter<u64>,
    throttled: Counter<u64>,
    request_units: Counter<f64>,
    lag: Histogram<f64>,
    decode: Histogram<f64>,
    store: Histogram<f64>,
    batch: Histogram<u64>,
    pub(super) invocation: Histogram<f64>,
    pub(super) operation: Histogram<f64>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let count = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(what).build()
        };
        let time = |name: &'static str, bounds: &[f64], what: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(bounds.into()).with_description(what).build()
        };
        Self {
            events: count("devicestate.events", "{event}", "Events of batches whose reply was final."),
            attempts: count("devicestate.attempts", "{attempt}", "Attempts of batches."),
            dead_letters: count("devicestate.dead_letters", "{dead_letter}", "Events that could not be applied."),
            operations: count("devicestate.store.operations", "{operation}", "Operations requested from the store."),
            conflicts: count(
                "devicestate.store.conflicts",
                "{operation}",
                "Writes that conflicted with another writer's change.",
            ),
            retries: count("devicestate.store.retries", "{operation}", "Operations retried after a failure."),
            throttled: count("devicestate.store.throttled", "{operation}", "Operations that the store throttled."),
            request_units: meter
                .f64_counter("devicestate.store.request_units")
                .with_unit("{request_unit}")
                .with_description("Request units that the operations cost.")
                .build(),
            lag: time("devicestate.lag", &LAG_BOUNDS, "Time from enqueuing an event to the reply to its batch."),
            decode: time("devicestate.decode.duration", &DURATION_BOUNDS, "Decoding the events of a batch."),
            store: time(
                "devicestate.store.duration",
                &DURATION_BOUNDS,
                "Reading and writing the documents of a batch.",
            ),
            batch: meter
                .u64_histogram("devicestate.batch.events")
                .with_unit("{event}")
                .with_boundaries(BATCH_SIZE_BOUNDS.into())
                .with_description("Events of a batch.")
                .build(),
            invocation: time(
                "messaging.process.duration",
                &DURATION_BOUNDS,
                "Time from the host's request to the response.",
            ),
            operation: time("db.client.operation.duration", &DURATION_BOUNDS, "One operation of the store."),
        }
    }

    /// Updates the instruments from a record.
    pub(super) fn count(&self, record: &Record) {
        match record {
            Record::Batch(BatchRecord {
                attempt, applied, superseded, dead_lettered, unrecognized, ignored, ..
            }) => {
                let source = source_attributes(&attempt.source);
                for (outcome, events) in [
                    ("applied", *applied),
                    ("superseded", *superseded),
                    ("dead-lettered", *dead_lettered),
                    ("unrecognized", *unrecognized),
                    ("ignored", *ignored),
                ] {
                    self.events.add(events, &with(&source, "devicestate.event.outcome", outcome));
                }
                self.count_attempt(attempt, &source, "answered");
            }
            Record::FailedAttempt(FailedAttemptRecord { attempt, .. }) => {
                self.count_attempt(attempt, &source_attributes(&attempt.source), "failed");
            }
            Record::DeadLetter(DeadLetterRecord { source: from, stage, error_class, .. }) => {
                let stage = with(&source_attributes(from), "devicestate.dead_letter.stage", stage.to_string());
                self.dead_letters.add(1, &with(&stage, "devicestate.dead_letter.error_class", error_class.to_string()));
            }
            Record::DeadLetterQueue(_)
            | Record::Start(_)
            | Record::DeviceSilent(_)
            | Record::DeviceBack(_)
            | Record::SilenceWatch(_) => {}
        }
    }

    fn count_attempt(&self, attempt: &AttemptRecord, source: &[KeyValue], result: &'static str) {
        let Operations { reads, writes, conflicts, retries, throttled, request_units } = attempt.operations;
        self.attempts.add(1, &with(source, "devicestate.attempt.result", result));
        for (kind, operations) in [("read", reads), ("write", writes)] {
            self.operations.add(operations, &with(source, "devicestate.store.operation", kind));
        }
        for (counter, operations) in
            [(&self.conflicts, conflicts), (&self.retries, retries), (&self.throttled, throttled)]
        {
            counter.add(operations, source);
        }
        self.request_units.add(request_units, source);
        self.decode.record(attempt.decode_ms / 1e3, source);
        self.store.record(attempt.store_ms / 1e3, source);
        self.batch.record(attempt.events, source);
        if let Some(lag_ms) = attempt.lag_ms {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of many thousand years fit")]
            self.lag.record(lag_ms.max(0) as f64 / 1e3, source);
        }
    }
}

/// Measures the memory of the cached documents with each export.
pub(super) fn observe_cache(meter: &Meter, processor: &Arc<Processor>) {
    let processor = Arc::clone(processor);
    meter
        .u64_observable_gauge("devicestate.cache.size")
        .with_unit("By")
        .with_description("Memory that the cached documents use.")
        .with_callback(move |cache| cache.observe(processor.cache.bytes(), &[]))
        .build();
}

/// Returns the attributes of a batch's source. There are as many combinations as partitions that this process owns.
pub(super) fn source_attributes(source: &SourceRecord) -> Vec<KeyValue> {
    let SourceRecord { fully_qualified_namespace, event_hub_name, consumer_group, partition_id, session_queue_name } =
        source;
    let parts = [
        ("server.address", fully_qualified_namespace),
        ("messaging.destination.name", event_hub_name),
        ("messaging.destination.name", session_queue_name),
        ("messaging.consumer.group.name", consumer_group),
        ("messaging.destination.partition.id", partition_id),
    ];
    let known = parts.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(key, value)| KeyValue::new(key, value.clone())).collect()
}

fn with(attributes: &[KeyValue], key: &'static str, value: impl Into<opentelemetry::Value>) -> Vec<KeyValue> {
    let mut attributes = attributes.to_vec();
    attributes.push(KeyValue::new(key, value));
    attributes
}
