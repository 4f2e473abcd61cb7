//! Azure Storage: queues and blobs in Azurite, and storage that is down, hangs or rejects requests.
//!
//! The tests install Azurite once, in the target folder, from `tests/azurite`. This needs Node.js, and the first time a network
//! or npm's cache.

mod audit;
mod blobs;
mod connections;
mod dead_letter_monitor;
mod dead_letters;
mod large_dead_letters;
mod outages;
mod queue_contract;
mod queues;

use std::error::Error;

use devicestate_azure::StorageError;

/// Returns the Storage error that caused an error of the engine.
fn storage_error<'a>(cause: &'a (dyn Error + Send + Sync + 'static)) -> &'a StorageError {
    cause.downcast_ref().unwrap_or_else(|| panic!("not a Storage error: {cause}"))
}
