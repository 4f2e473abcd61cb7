//! The engine, from the bytes of a device to the reply, against a store that misbehaves on command.
//!
//! Time is tokio's paused clock: back-offs and budgets pass at once, and no test sleeps.

mod audit;
mod cache;
#[path = "../support/dead_letter_schema.rs"]
mod dead_letter_schema;
mod dead_letters;
mod faults;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/http.rs"]
mod http;
mod interleavings;
mod invocations;
mod limits;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/listener.rs"]
mod listener;
mod local_queue;
mod messages;
mod other_device;
mod overflow;
mod processor;
#[path = "../support/record_schema.rs"]
mod record_schema;
mod redriving;
mod redriving_cut_off;
mod refused;
mod replies;
#[path = "../support/session_message.rs"]
mod session_message;
mod sessions;
mod stores;
mod support;
mod telemetry;
mod telemetry_as_json;
mod telemetry_json;
mod whole_letters;
