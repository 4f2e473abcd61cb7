//! A connection, and what goes over it.

use crate::{connection::Connection, partition::Partition};

/// A connection and the partition whose batches go over it.
pub(crate) struct Lane {
    pub(crate) partition: Partition,
    pub(crate) connection: Connection,
}
