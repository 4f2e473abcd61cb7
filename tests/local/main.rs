//! Tests of `devicestate local`, `drill` and `ui`: the real binary with the real handler as its child process, on free
//! ports and in temporary folders.

mod cosmos;
mod demonstration;
mod drill;
mod dying_handlers;
mod function_apps;
mod input_forms;
mod inputs;
mod killed_at_random;
mod listening;
mod listing_devices;
mod live_page;
mod packing;
mod page_of_a_run;
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
