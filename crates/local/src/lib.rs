//! The entire system on one machine: an event hub or a queue with sessions in memory, a stand-in for the Functions host that
//! starts the real handler as its child process, and SQLite for documents and dead letters.
//!
//! The crate links the engine only to decode events for the check and to read what is stored. It uses the handler through the
//! host's interface: HTTP requests, replies and settings.
//!
//! # Where to begin
//!
//! [`run()`] is `devicestate local`, [`drill::run`] is `devicestate drill`. A run sends the events of a `source` or a [`simulator`]
//! to a `broker`, which is a [`hub`] or a [queue with sessions](sessions). The `instance`s of a `region` read the broker; each has a
//! `host` that runs a handler `process` and invokes its functions over HTTP. The `statistics` of the replies become the [`report`].
//!
//! # Layout
//!
//! * Input: `source` (files), [`simulator`], [`packing`] (records), `invalid_events`, `listen` (events by HTTP).
//! * Brokers: `broker` (the trait), [`hub`] with `throughput`, [`sessions`].
//! * Host: `instance`, `host` (an invocation), `partitions` and `sessions/host` (how each broker is read), `process` (the handler),
//!   [`endpoint`] (HTTP), [`envelope`] (requests), [`reply`] (replies), `dotnet` (JSON as the host writes it), `timers` with `schedule`.
//! * Runs: `options`, `settings`, `app_folder`, `setup`, `region`, `feed` (the input, sent), `local_run` (a run in progress), `injected_faults`,
//!   `demonstration` (the faults of the run without options), `run`, [`drill`] (the loss of a region).
//! * Results: `statistics`, [`report`], `check` and `fold` (the expected documents), `monitor` and `metrics` (the telemetry file),
//!   `documents`, [`timeline`](report::Timeline) (the counts and happenings over the time of a run). `front` serves the addresses
//!   of a run without an end, `figures` are those of its page.

mod app_folder;
mod broker;
mod check;
mod demonstration;
mod documents;
mod dotnet;
pub mod drill;
pub mod endpoint;
pub mod envelope;
mod error;
mod feed;
mod figures;
mod fold;
mod front;
mod host;
pub mod hub;
mod injected_faults;
mod instance;
mod invalid_events;
mod listen;
mod local_run;
mod metrics;
mod monitor;
mod options;
pub mod packing;
mod partitions;
mod process;
mod region;
pub mod reply;
pub mod report;
mod run;
mod schedule;
pub mod sessions;
mod settings;
mod setup;
pub mod simulator;
mod source;
mod statistics;
#[cfg(test)]
mod test_host;
mod throughput;
mod timeline;
mod timers;

pub use documents::Documents;
pub use error::LocalError;
pub use invalid_events::InvalidEventRate;
pub use options::{Front, Input, Options, Sessions, Simulation};
pub use run::run;
pub use source::SourceError;
