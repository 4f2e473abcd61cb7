//! Azure behind the traits of the engine: documents in Cosmos DB, dead letters in a Storage queue, large ones and the audit
//! trail in blobs.
//!
//! Connections are described as Functions describes them: the setting `Name` holds a connection string, or `Name__…` an
//! endpoint and who is asking. A connection is made of settings without asking anybody, so the handler is ready at once; a
//! service that cannot be reached is an error of the request that needs it.
//!
//! # Layout
//!
//! * `connection_string`, `identity`, `access`: what settings say of a connection. `shared_key`: how requests to Storage
//!   are signed.
//! * `storage`: connections to Storage, their errors and retries, containers of blobs.
//! * `cosmos`: the documents. `queue`: the dead letters. `blobs`: those that do not fit into the queue. `audit`: the audit
//!   trail of the tools.

mod access;
mod audit;
mod blobs;
mod connection_string;
mod cosmos;
mod identity;
mod queue;
mod shared_key;
mod storage;

pub use access::{Access, endpoint};
pub use audit::BlobAudit;
pub use blobs::Blobs;
pub use connection_string::ConnectionString;
pub use cosmos::{CosmosConfig, CosmosStore, Regions};
pub use identity::Identity;
pub use queue::StorageQueue;
pub use shared_key::SharedKey;
pub use storage::{Fault, Service, StorageConnection, StorageError};
