//! A partition with its connection.

use crate::{connection::Connection, partition::Partition};

/// A connection and the partition whose batches it sends.
pub(crate) struct PartitionConnection {
    pub(crate) partition: Partition,
    pub(crate) connection: Connection,
}
