//! `devicestate` keeps the latest state of each device of a fleet: the heart of an Azure architecture in which Event
//! Hubs takes the stream of telemetry, the Functions host owns the trigger, a store holds one document per device and
//! a storage queue takes the dead letters.
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
//! `ARCHITECTURE.md` tells where each of them is kept.
//!
//! # Layout
//!
//! The way of a batch, from the host and back to it:
//!
//! * [`serve`]: HTTP, as the host expects it of a custom handler.
//! * [`handler`]: one invocation, from the request's bytes to the answer.
//! * [`invocation`]: the host's envelope in. `json`: its JSON, taken apart. [`batch`]: what is in it.
//! * [`processor`]: a batch in, what became of each event out: decode, fold by device, write each device once.
//! * [`telemetry`]: the seam to the devices; drones are what ships.
//! * [`device_state`]: the document, the versions, the merge.
//! * [`store`]: where the documents are. [`sqlite`]: the file behind one of the stores.
//! * [`verdict`]: answered for good, or sent again.
//! * [`dead_letter`]: one event that could not be applied, whole. [`queue`]: where they lie.
//! * [`triage`]: what becomes of them: examined, replayed, put right.
//! * [`watch`]: how old the oldest one is, when the host's timer asks.
//! * [`record`]: what the handler tells about its work. [`reply`]: the reply out.
//!
//! Around it:
//!
//! * [`settings`]: app settings. [`config`]: what they come to. [`function_app`]: host.json and function.json.
//!   [`timespan`]: times as both write them.
//! * [`assembly`]: what the configuration names, put together.
//! * [`azure`]: connections to its services.
//! * [`surroundings`]: time and chance, from outside. [`log`]: the handler's own log.
//!   [`otlp`]: metrics and traces, where a build has them.
//!   [`interrupt`]: when somebody wants the process to end. [`pace`]: so much a second. `until_failed`: work that is not
//!   begun any more.
//! * [`local`]: the whole system on one machine. [`cli`]: the command line.

pub mod assembly;
pub mod azure;
pub mod batch;
pub mod cli;
pub mod config;
pub mod dead_letter;
pub mod device_state;
pub mod function_app;
pub mod handler;
pub mod interrupt;
pub mod invocation;
mod json;
pub mod local;
pub mod log;
pub mod otlp;
pub mod pace;
pub mod processor;
pub mod queue;
pub mod record;
pub mod reply;
pub mod serve;
pub mod settings;
pub mod sqlite;
pub mod store;
pub mod surroundings;
pub mod telemetry;
pub mod timespan;
pub mod triage;
mod until_failed;
pub mod verdict;
pub mod watch;
