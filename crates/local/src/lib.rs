//! The whole system on one machine: a hub in memory, or a queue with sessions; a stand-in for the Functions host that
//! starts the handler as the real one does; SQLite for the documents and the dead letters.
//!
//! It uses the engine as an outsider would, and knows of the handler only what a host knows: its replies.
//!
//! # Layout
//!
//! * `options`, `error`, `settings`, `setup`: what to run. `run`: from the first event to the `report`.
//! * `source`, [`simulator`], `bad_events`: where events come from.
//! * `intake`: what producers send to and instances read. [`hub`] with `throughput`, and [`sessions`], are the two of them.
//! * `process`, [`endpoint`]: the handler. [`envelope`], [`reply`]: what goes to it, and what comes back.
//! * `host`: an invocation. `partitions`, `sessions/host`: how often, and what comes of it. `instance`, `region`, `timers`:
//!   what runs when.
//! * `statistics`, `monitor`, `metrics`, `documents`: what is known of it.
//! * [`drill`]: a region is lost, and comes back.

mod bad_events;
mod documents;
pub mod drill;
pub mod endpoint;
pub mod envelope;
mod error;
mod host;
pub mod hub;
mod instance;
mod intake;
mod metrics;
mod monitor;
mod options;
mod partitions;
mod process;
mod region;
pub mod reply;
pub mod report;
mod run;
pub mod sessions;
mod settings;
mod setup;
pub mod simulator;
mod source;
mod statistics;
mod throughput;
mod timers;

pub use documents::Documents;
pub use error::LocalError;
pub use options::{Input, Options, Sessions};
pub use run::run;
pub use source::SourceError;
