//! One connection to the handler, on which one request is under way at a time.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    error::{Error, Failure},
    reply::Reply,
};

/// A connection that is kept.
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

    /// Sends a request and waits for the reply, whatever its status. Gives back status and body.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<(u16, &[u8]), Failure> {
        self.received.clear();
        // Who refuses a request may answer and close before it is read to its end: the answer counts, where there is
        // one.
        let cut = self.stream.write_all(request).await.err();
        let failure = loop {
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => break Failure::Closed,
                Ok(_) => {}
                Err(error) => break error.into(),
            }
            match Reply::read(&mut self.received) {
                Ok(Some(Reply { status, body })) => return Ok((status, &self.received[body])),
                Ok(None) => {}
                Err(error) => break error.into(),
            }
        };
        Err(cut.map_or(failure, Failure::from))
    }
}
