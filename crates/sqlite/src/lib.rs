//! Implements the engine's traits for one machine: state documents and dead letters in one SQLite file, which all processes
//! of the machine share.
//!
//! # Layout
//!
//! Begin with `database`.
//!
//! * `database`: the file and its transactions. `connection`: how it is opened, and its schema. `error`: its
//!   failures. `open_files`: whether it is still at its path. `store`: the documents, with
//!   `store/scan` (reads all rows) and `store/filtered` (applies a filter to a text, after
//!   `store/quick`). `queue`: the dead letters.

mod connection;
mod database;
mod error;
mod open_files;
mod queue;
mod store;

use std::path::{Path, PathBuf};

pub use connection::{OpenMode, Synchronous};
pub use database::Database;
pub use error::DatabaseError;
pub use queue::SqliteQueue;
pub use store::SqliteStore;

/// Returns the folder, next to a state file, of the dead letters that are too large for its queue.
#[must_use]
pub fn dead_letter_folder(state: &Path) -> PathBuf {
    format!("{}-dead-letters", state.display()).into()
}
