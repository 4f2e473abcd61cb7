//! Black-box tests: they start the real binary and send requests as the Functions host does.
//!
//! Nothing here links the library. The tests rely on the host's contract, the settings and the command line only.

mod app_files;
mod cases;
mod connections;
mod dead_letter_monitor;
mod devices_function;
mod file_forms;
mod forms;
mod host_end;
mod host_protocol;
mod invalid_input;
mod invalid_requests;
mod log_records;
mod order;
mod protobuf;
mod read_api;
mod recorded_requests;
mod reference_faults;
mod refused_triggers;
mod request_forms;
mod retry_drill;
mod sessions;
mod silence_watch;
mod start_up;
mod state_file;
mod telemetry_check;
mod telemetry_infer;
