//! The engine, from the bytes of a device to the reply, against a store that misbehaves on command.
//!
//! Time is tokio's paused clock: back-offs and budgets pass at once, and no test sleeps.

mod cache;
mod dead_letters;
mod faults;
mod interleavings;
mod invocations;
mod limits;
mod messages;
mod other_device;
mod overflow;
mod processor;
mod refused;
mod replies;
mod sessions;
mod telemetry;
mod telemetry_as_json;
mod telemetry_json;
mod whole_letters;
