//! `devicestate` keeps the latest state of each device of a fleet. In Azure, Event Hubs receives the telemetry, the
//! Functions host owns the trigger, this program handles the batches, a store holds one document per device, and a
//! storage queue holds the dead letters.
//!
//! This package is the program: it reads the settings, builds the parts that they select, and serves the host and the
//! command line. The crates that it is built of do the work; `docs/contribute/architecture.md` shows them. Begin with
//! `devicestate_engine`, and then read [`serve`].
//!
//! # Layout
//!
//! * [`cli`]: the command line.
//! * [`serve`]: the HTTP server that the host expects of a custom handler.
//! * [`dead_letter_monitor`]: the timer function that reports the age of the oldest dead letter.
//! * [`silence_watch`]: the timer function that finds silent devices.
//! * [`config`]: the settings as typed configuration. [`bootstrap`]: builds the parts that they select.
//! * [`log`]: the handler's log. [`otlp`]: metrics and traces, in builds with the feature `otlp`. [`observer`]: passes the
//!   engine's records to both.

pub mod bootstrap;
pub mod cli;
pub mod config;
pub mod dead_letter_monitor;
pub mod log;
pub mod observer;
pub mod otlp;
pub mod serve;
pub mod silence_watch;
