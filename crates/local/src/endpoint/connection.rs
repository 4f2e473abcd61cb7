//! One connection to the handler, with one request in flight at a time.

use std::{io, net::SocketAddr};

use devicestate_engine::text::error_message;
use tokio::net::TcpStream;

use super::{
    exchange::{ExchangeError, exchange},
    response::Response,
};

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
        let mut received = Vec::with_capacity(16 << 10);
        let response = exchange(&mut self.stream, request, &mut received).await;
        let response = response.map_err(|error| match error {
            ExchangeError::Connection(error) => error_message(&error),
            error => error.to_string(),
        })?;
        let body = received.drain(response.body.clone()).collect();
        Ok((response, body))
    }
}
