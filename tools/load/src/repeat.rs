//! The last batch of each connection once more, when the time is over. A handler that keeps state finds nothing new in
//! it; one that only says that it applied what it was sent is found out.

use serde::Serialize;

use crate::{counts::Counts, error::Error, lane::Lane, teller::Teller, watch::PATIENCE};

/// What the handler made of events that it had already.
#[derive(Serialize)]
pub(crate) struct Repeat {
    pub(crate) events: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

impl Repeat {
    /// Sends them, one connection after the other.
    pub(crate) async fn of(lanes: Vec<Lane>, teller: &mut Teller<'_>) -> Result<Self, Error> {
        let (mut events, mut records) = (0, Counts::default());
        for Lane { mut partition, mut connection } in lanes {
            let answer = tokio::time::timeout(PATIENCE, connection.call(partition.again())).await;
            let counts = answer.map_err(|_| Error::Silence(PATIENCE))?.and_then(Counts::of_answer);
            records += counts.map_err(|failure| Error::Again { partition: partition.number, failure })?;
            events += u64::from(partition.events);
        }
        Ok(Self { events, counts: teller.since(records).await? })
    }

    /// Whether none of them was taken for new.
    pub(crate) fn is_superseded(&self) -> bool {
        self.counts == Counts { superseded: self.events, ..Counts::default() }
    }
}
