//! One connection to the handler, with one request in flight at a time.

use std::{io, net::SocketAddr};

use devicestate_engine::text::error_message;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::response::Response;

/// A persistent connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// The same socket: the runtime may not have noticed yet that it was closed.
    socket: std::net::TcpStream,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, String> {
        let connected = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = stream.into_std()?;
            Ok(Self { socket: stream.try_clone()?, stream: TcpStream::from_std(stream)? })
        };
        connected.await.map_err(|error: io::Error| format!("{address}: {}", error_message(&error)))
    }

    /// Returns false if the handler has closed the connection, or has sent something without a request.
    pub(super) fn is_open(&self) -> bool {
        self.socket.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and returns the response with its body.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<(Response, Vec<u8>), String> {
        // A server that rejects a request may reply and close before it has read it completely. Such a reply is returned
        // instead of the write error.
        let write_error = self.stream.write_all(request).await.err();
        let mut received = Vec::with_capacity(16 << 10);
        let error = loop {
            let at_end = match self.stream.read_buf(&mut received).await {
                Ok(count) => count == 0,
                Err(error) => break error_message(&error),
            };
            match Response::read(&mut received, at_end) {
                Ok(Some(response)) => {
                    let body = received.drain(response.body.clone()).collect();
                    return Ok((response, body));
                }
                Ok(None) if at_end => break "it closed the connection".to_owned(),
                Ok(None) => {}
                Err(error) => break error.to_string(),
            }
        };
        Err(write_error.map_or(error, |error| error_message(&error)))
    }
}
