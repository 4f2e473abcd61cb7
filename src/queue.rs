//! The queues in which dead letters lie: a Storage queue in Azure, a table in the state file on one machine.

mod sqlite;
mod storage;

pub use sqlite::SqliteQueue;
pub use storage::{Message, Received, StorageQueue};
