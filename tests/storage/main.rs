//! Azure Storage: queues and blobs against Azurite, and against storage that is down, silent or refuses.
//!
//! Azurite is installed once, below the target folder, from `tests/azurite`: that needs Node.js, and a network or npm's
//! cache the first time.

mod audit;
mod blobs;
mod both_queues;
mod connections;
mod dead_letters;
mod outages;
mod queues;
mod watch;
mod whole_letters;

use std::error::Error;

use devicestate_azure::StorageError;

/// What Storage said, behind an error of the engine.
fn storage_error<'a>(cause: &'a (dyn Error + Send + Sync + 'static)) -> &'a StorageError {
    cause.downcast_ref().unwrap_or_else(|| panic!("not of Storage: {cause}"))
}
