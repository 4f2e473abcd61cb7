//! The document stores: in memory, in an SQLite file, and in Cosmos DB.

mod stores;
