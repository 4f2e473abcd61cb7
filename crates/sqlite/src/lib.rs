//! State documents and dead letters of one machine in one SQLite file, which all its processes share.
//!
//! * `database`: the file. `store`: the documents in it. `queue`: the dead letters in it.

mod database;
mod queue;
mod store;

use std::path::{Path, PathBuf};

pub use database::{Database, DatabaseError, OpenMode};
pub use queue::SqliteQueue;
pub use store::SqliteStore;

/// The folder of large dead letters that belongs to a state file.
#[must_use]
pub fn dead_letter_folder(state: &Path) -> PathBuf {
    format!("{}-dead-letters", state.display()).into()
}
