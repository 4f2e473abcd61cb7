//! What the programs of this project share in a terminal.
//!
//! * [`print_json_items`], [`print_json_value`], [`JsonItems`]: results for machines, as `docs/reference/output.schema.json`
//!   describes them. [`Table`]: results for people.
//! * [`OutputOption`], [`ConfirmOptions`]: options that every command shares. [`rate`], [`ago_ms`]: parsers of quantities.
//! * [`CommandError`]: an error with its exit code. [`confirm`]: a question. [`Progress`]: a progress bar.
//! * [`interrupt`]: Ctrl-C and SIGTERM.

mod confirm;
pub mod interrupt;
mod output;
mod progress;
mod quantities;
mod table;

pub use confirm::{ApplyMode, ConfirmOptions, DRY_RUN_NOTICE, confirm};
pub use output::{
    CommandError, CommandOutcome, JsonItems, Output, OutputOption, print, print_json_items, print_json_value,
};
pub use progress::Progress;
pub use quantities::{ago_ms, rate};
pub use table::{Table, clean};
