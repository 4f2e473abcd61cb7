//! Tests of `devicestate local`: the real binary, with the real handler as its child, on free ports and files of its own.

mod cosmos;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/dead_letter_schema.rs"]
mod dead_letter_schema;
mod drill;
mod dying_handlers;
mod function_apps;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/http.rs"]
mod http;
mod inputs;
mod killed_at_random;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/listener.rs"]
mod listener;
mod real_telemetry;
#[path = "../support/record_schema.rs"]
mod record_schema;
mod session_failures;
mod sessions;
mod support;
mod telemetry_file;
mod timers;
