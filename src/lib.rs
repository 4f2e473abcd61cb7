//! `devicestate` keeps the latest state of each device of a fleet: the heart of an Azure architecture in which Event
//! Hubs takes the stream of telemetry, the Functions host owns the trigger, a store holds one document per device and
//! a storage queue takes the dead letters.
//!
//! This package is the program: it reads settings, puts together what they name, serves the host and answers people.
//! The work itself is done in the crates below it, which `docs/contribute/architecture.md` shows: `devicestate_engine` is where to begin.
//!
//! # Layout
//!
//! * [`cli`]: the command line.
//! * [`serve`]: HTTP, as the host expects it of a custom handler. [`watch`]: how old the oldest dead letter is, when the
//!   host's timer asks.
//! * [`config`]: what the settings come to. [`assembly`]: what they name, put together.
//! * [`log`]: the handler's own log. [`otlp`]: metrics and traces, where a build has them. [`observer`]: what the engine
//!   reports, to both of them.

pub mod assembly;
pub mod cli;
pub mod config;
pub mod log;
pub mod observer;
pub mod otlp;
pub mod serve;
pub mod watch;
