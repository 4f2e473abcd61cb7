//! The product seen from outside: the real binary, started and talked to as the Functions host does it.
//!
//! Nothing here links the library. What the tests know is the host's contract, the settings and the command line.

mod app_files;
mod attempts;
mod bad_input;
mod bad_protobuf;
mod protocol;
mod records;
mod reference;
mod retry_drill;
mod sessions;
mod shapes;
mod start_up;
mod watch;
