//! The document stores: in memory, in an SQLite file, and in Cosmos DB. And what the handler puts out with the first two, byte for
//! byte.

mod filters;
mod kinds;
mod outputs;
mod stores;
mod written;
