//! The product seen from outside: the real binary, started and talked to as the Functions host does it.
//!
//! Nothing here links the library. What the tests know is the host's contract, the settings and the command line.

mod app_files;
mod attempts;
mod bad_input;
mod bad_protobuf;
#[path = "../support/built.rs"]
mod built;
mod cosmos;
#[path = "../support/listener.rs"]
mod listener;
mod otlp;
mod protocol;
mod records;
mod reference;
mod retry_drill;
#[path = "../support/session_message.rs"]
mod session_message;
mod sessions;
mod shapes;
mod start_up;
mod support;
mod watch;

use support::http;
