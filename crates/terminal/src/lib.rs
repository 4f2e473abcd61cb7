//! What the programs of this project share in a terminal: tables, progress bars, quantities on the command line, errors with
//! exit codes, Ctrl-C.

pub mod interrupt;
mod output;
mod progress;
mod quantities;
mod table;

pub use output::{
    CommandError, CommandOutcome, Format, Output, OutputOption, print, print_json_items, print_json_value,
};
pub use progress::Progress;
pub use quantities::{ago_ms, rate};
pub use table::{Table, clean};
