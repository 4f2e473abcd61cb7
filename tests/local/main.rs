//! Tests of `devicestate local`: the real binary, with the real handler as its child, on free ports and files of its own.

mod cosmos;
mod drill;
mod dying_handlers;
mod function_apps;
mod inputs;
mod killed_at_random;
mod real_telemetry;
mod session_failures;
mod sessions;
mod support;
mod telemetry_file;
mod timers;
