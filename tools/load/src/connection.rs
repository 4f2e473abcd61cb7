//! One connection to the handler, with one request in flight at a time.

use devicestate_local::endpoint::response::Response;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

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
        // A server that rejects a request may reply and close before it has read it completely. Such a reply is
        // returned instead of the write error.
        let write_error = self.stream.write_all(request).await.err();
        let error = loop {
            let at_end = match self.stream.read_buf(&mut self.received).await {
                Ok(count) => count == 0,
                Err(error) => break error.into(),
            };
            match Response::read(&mut self.received, at_end) {
                Ok(Some(Response { status, body, .. })) => return Ok((status, &self.received[body])),
                Ok(None) if at_end => break RequestError::Closed,
                Ok(None) => {}
                Err(error) => break error.into(),
            }
        };
        Err(write_error.map_or(error, RequestError::from))
    }
}
