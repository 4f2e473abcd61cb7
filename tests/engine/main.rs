//! The engine, from the bytes of a device to the reply, against a store that misbehaves on command.
//!
//! Time is tokio's paused clock: back-offs and budgets pass at once, and no test sleeps.

mod cache;
mod dead_letters;
mod faults;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/http.rs"]
mod http;
mod interleavings;
mod limits;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/listener.rs"]
mod listener;
mod other_device;
mod overflow;
mod processor;
mod refused;
mod replies;
mod stores;
mod support;
mod telemetry;
mod telemetry_json;
