//! Sends the last batch of each connection again at the end. A handler that keeps state must count its events as
//! superseded, which detects a handler that counts everything as applied.

use serde::Serialize;

use crate::{
    counts::Counts, counts_reader::CountsReader, error::Error, monitor::MAX_REPLY_TIME,
    partition_connection::PartitionConnection,
};

/// The handler's counts of the repeated events.
#[derive(Serialize)]
pub(crate) struct Repeat {
    pub(crate) events: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

impl Repeat {
    /// Repeats the batches, one connection after the other.
    pub(crate) async fn send(
        connections: Vec<PartitionConnection>,
        counts_reader: &mut CountsReader<'_>,
    ) -> Result<Self, Error> {
        let (mut events, mut records) = (0, Counts::default());
        for PartitionConnection { mut partition, mut connection } in connections {
            let reply = tokio::time::timeout(MAX_REPLY_TIME, connection.call(partition.repeated_request())).await;
            let counts = reply.map_err(|_| Error::NoReply(MAX_REPLY_TIME))?.and_then(Counts::from_reply_status);
            records += counts.map_err(|error| Error::RepeatFailed { partition: partition.number, error })?;
            events += u64::from(partition.events);
        }
        Ok(Self { events, counts: counts_reader.take_new(records).await? })
    }

    /// Returns whether all repeated events were superseded.
    pub(crate) fn is_superseded(&self) -> bool {
        self.counts == Counts { superseded: self.events, ..Counts::default() }
    }
}
