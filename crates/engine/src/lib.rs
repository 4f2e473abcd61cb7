//! The engine of `devicestate`: it applies batches of device events to one state document per device, exactly once in
//! effect, and reports an outcome for each event.
//!
//! The engine has no HTTP server, no Azure and no database. Its dependencies are traits: [`store::StateStore`],
//! [`queue::DeadLetterQueue`], [`dead_letter::Overflow`], [`telemetry::Telemetry`], [`clock::Clock`], [`clock::Random`] and
//! [`observer::Observer`].
//!
//! # Where to begin
//!
//! [`handler::Handler::invoke`] is the entry point: it takes the body of one request and returns the response, and its
//! example shows a complete setup. From there, read [`processor`] (decode, fold, write), [`device_state`] (documents,
//! versions and the merge) and [`retry_decision`]. To support another kind of device, implement [`telemetry::Telemetry`];
//! for another database, implement [`store::StateStore`].
//!
//! # Invariants
//!
//! 1. Nothing is lost: every event of every batch ends as applied, superseded or dead-lettered, and the counts of each
//!    final reply add up to the batch.
//! 2. Order per device: the stored document equals the fold of the device's events in version order, even if the host
//!    repeats or interleaves batches, or assigns a partition to two owners at the same time.
//! 3. No reading is replaced by an older one: a duplicate or a replay never overwrites a newer reading.
//! 4. An invalid event affects no other event, neither of its batch nor of its device.
//! 5. Each reply has a form that the host accepts. A panic is a failed invocation, not a crashed process.
//! 6. The handler responds within its own time budget.
//!
//! `docs/contribute/architecture.md` describes where each invariant is enforced.
//!
//! # Modules
//!
//! From the lowest layer to the highest; a module uses only modules of the same or a lower layer.
//!
//! * [`text`], [`timespan`]: formats texts, times and durations for messages, logs and settings. [`rate_limit`]: operations per second.
//!   [`clock`]: time and randomness. [`until_failed`]: a stream that ends after a failure.
//! * `json`: parses JSON without copying it. [`batch`]: the events of an invocation. [`device_state`]: the document, the
//!   versions, the merge. [`failure`]: why an event was not applied.
//! * [`settings`]: app settings. [`function_app`]: `host.json` and `function.json`.
//! * [`telemetry`]: decodes events; an implementation for drones ships. [`invocation`]: the host's envelope.
//! * [`store`]: stores the documents. [`dead_letter`]: an event that could not be applied, complete. [`queue`]: the
//!   dead-letter queue.
//! * [`record`]: the records of the log. [`observer`]: receives them. [`reply`]: the body of a reply.
//! * [`processor`]: processes a batch. [`retry_decision`]: completes the batch or retries it. [`silence`]: finds silent devices.
//! * [`handler`]: handles an invocation, from the request's bytes to the response.

pub mod batch;
pub mod clock;
pub mod dead_letter;
pub mod device_state;
pub mod failure;
pub mod function_app;
pub mod handler;
pub mod invocation;
mod json;
pub mod observer;
pub mod processor;
pub mod queue;
pub mod rate_limit;
pub mod record;
pub mod reply;
pub mod retry_decision;
pub mod settings;
pub mod silence;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod timespan;
pub mod until_failed;
