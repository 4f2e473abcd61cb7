//! Tests of `devicestate local` and `devicestate drill`: the real binary with the real handler as its child process, on free
//! ports and in temporary folders.

mod cosmos;
mod demonstration;
mod drill;
mod dying_handlers;
mod function_apps;
mod input_forms;
mod inputs;
mod killed_at_random;
mod listing_devices;
mod pages;
mod real_telemetry;
mod repeated_runs;
mod session_failures;
mod sessions;
mod state_file;
mod support;
mod telemetry_file;
mod timers;
mod worked_examples;
