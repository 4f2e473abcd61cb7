//! One connection to the handler, with one request in flight at a time.

use devicestate_local::endpoint::{exchange::exchange, response::Response};
use tokio::net::TcpStream;

use crate::error::{Error, RequestError};

/// A persistent connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self, Error> {
        let failed = |error| Error::Connect { address: address.to_owned(), error };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { stream, received: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and waits for the reply. Returns status and body for every status.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<(u16, &[u8]), RequestError> {
        self.received.clear();
        let Response { status, body, .. } = exchange(&mut self.stream, request, &mut self.received).await?;
        Ok((status, &self.received[body]))
    }
}
