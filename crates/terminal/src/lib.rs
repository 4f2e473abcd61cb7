//! Command-line helpers that all programs of this project share. Begin with [`OutputOption`] and [`CommandError`], which every
//! command uses.
//!
//! * Options: [`OutputOption`], [`ConfirmOptions`]. Parsers of option values: [`parse_rate`], [`parse_duration_ms`].
//! * Results: [`print_json_items`], [`print_json_value`] and [`JsonItems`] print JSON, as `docs/reference/output.schema.json`
//!   describes it; [`Table`] is a table for a reader.
//! * [`shell_quoted`] quotes a word of a command that is printed.
//! * [`print`] and [`print_message`] print other text. All output is without
//!   [hidden characters](devicestate_engine::text::is_hidden).
//! * [`CommandError`]: an error with its exit code.
//! * On a terminal: [`confirm`] asks a question, [`Progress`] shows a progress bar, [`interrupt`] handles Ctrl-C,
//!   SIGTERM and SIGHUP. [`print_message`] prints what is not the result.

mod confirm;
pub mod interrupt;
mod output;
mod progress;
mod quantities;
mod shell;
mod table;

pub use confirm::{ApplyMode, ConfirmOptions, DRY_RUN_NOTICE, confirm};
pub use devicestate_engine::text::clean;
pub use output::{
    CommandError, CommandOutcome, JsonItems, Output, OutputOption, eprint, print, print_json_items, print_json_value,
    print_message,
};
pub use progress::Progress;
pub use quantities::{count_of, parse_duration_ms, parse_rate};
pub use shell::shell_quoted;
pub use table::Table;
