//! The document stores: in memory, in an SQLite file, and in Cosmos DB.

mod filters;
mod kinds;
mod stores;
mod written;
