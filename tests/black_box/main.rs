//! Black-box tests: they start the real binary and send requests as the Functions host does.
//!
//! Nothing here links the library. The tests rely on the host's contract, the settings and the command line only.

mod app_files;
mod attempts;
mod dead_letter_monitor;
mod invalid_input;
mod protobuf;
mod protocol;
mod records;
mod reference;
mod retry_drill;
mod sessions;
mod shapes;
mod start_up;
