//! Implements the engine's traits on Azure: documents in Cosmos DB, dead letters in a Storage queue, large dead letters and
//! the audit trail in blobs.
//!
//! Connections are described as in Functions: the setting `Name` holds a connection string, or the settings `Name__…` hold
//! a URL and an identity. Creating a connection from settings sends no request, so the handler is ready immediately. A
//! service that cannot be reached is an error of the request that needs it.
//!
//! # Layout
//!
//! Begin with `cosmos` for documents, or with `queue` for dead letters.
//!
//! * `connection_string`, `identity`, `access`: the parts of a connection in the settings. `shared_key`: signs requests to
//!   Storage.
//! * `storage`: connections to Storage, their errors and retries, and blob containers.
//! * `cosmos`: the documents. `queue`: the dead letters. `blobs`: dead letters that are too large for the queue. `audit`: the
//!   audit trail of the tools.
//! * `error_cause`: root causes of the SDKs' errors.

mod access;
mod audit;
mod blobs;
mod connection_string;
mod cosmos;
mod error_cause;
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
pub use storage::{Service, StorageConnection, StorageError, StorageErrorKind};
