//! The engine, from the bytes of a device to the reply, against a store that misbehaves on command.
//!
//! Time is tokio's paused clock: back-offs and budgets pass at once, and no test sleeps.

mod cache;
mod dead_letters;
mod faults;
mod interleavings;
mod limits;
mod other_device;
mod processor;
mod replies;
mod stores;
mod support;
mod telemetry;
mod telemetry_json;
