//! Tests the engine from the bytes of a device to the reply, with a scripted store.
//!
//! Time is tokio's paused clock: backoffs and budgets pass immediately, and no test sleeps.

mod dead_letter_messages;
mod dead_letters;
mod decoding;
mod device_times;
mod document_cache;
mod faulty_devices;
mod forms;
mod heard;
mod interleavings;
mod invocations;
mod large_dead_letters;
mod lost_leases;
mod max_readings;
mod other_device;
mod overflow;
mod processor;
mod records;
mod refusals;
mod rejected_writes;
mod retries;
mod sessions;
mod silence;
mod single_events;
mod store_faults;
mod telemetry_json;
mod telemetry_protobuf;
mod telemetry_to_json;
mod time_limits;
mod unrecognized;
