//! The engine of `devicestate`: a batch of events in, the latest state of each device written once, what became of each
//! event out.
//!
//! It needs nothing of the outside but traits: [`store::StateStore`], [`queue::DeadLetterQueue`],
//! [`dead_letter::Overflow`], [`telemetry::Telemetry`], [`clock::Clock`], [`observer::Observer`]. It has no HTTP
//! server, no Azure and no database.
//!
//! # Invariants
//!
//! 1. Nothing is lost: every event of every batch ends applied, superseded or dead-lettered, and the counts of each
//!    final reply add up to the batch.
//! 2. In order per device: the stored document equals the fold of the device's events in version order, whatever the
//!    host repeats, interleaves or hands to two owners at once.
//! 3. Nothing goes backwards: a duplicate or a replay never overwrites a newer reading.
//! 4. One bad event harms nobody else: not its batch, not its device's other events.
//! 5. The reply is always one that the host understands. A panic is a failed invocation, not a dead process.
//! 6. The handler answers within its own budget.
//!
//! `docs/contribute/architecture.md` says where each of them is kept.
//!
//! # Layout
//!
//! From the bottom up; a module uses only those above it in this list.
//!
//! * [`text`], [`timespan`]: texts and durations as people and the host write them. [`rate_limit`]: so much a second.
//!   [`clock`]: time and chance, from outside. [`until_failed`]: work that is not begun after a failure.
//! * `json`: JSON, taken apart where it lies. [`batch`]: the events of an invocation. [`device_state`]: the document, the
//!   versions, the merge. [`failure`]: why an event was not applied.
//! * [`settings`]: app settings. [`function_app`]: host.json and function.json.
//! * [`telemetry`]: the seam to the devices; drones are what ships. [`invocation`]: the host's envelope.
//! * [`store`]: where the documents are. [`dead_letter`]: one event that could not be applied, whole. [`queue`]: where
//!   dead letters lie.
//! * [`record`]: what is reported about the work. [`observer`]: to whom. [`reply`]: the reply.
//! * [`processor`]: decode, fold by device, write each device once. [`retry_decision`]: answered for good, or sent again.
//! * [`handler`]: one invocation, from the request's bytes to the answer.

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
pub mod store;
pub mod telemetry;
pub mod text;
pub mod timespan;
pub mod until_failed;
