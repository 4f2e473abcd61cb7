//! One request and its response on a connection.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::response::{InvalidResponseError, Response};

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] io::Error),
    /// The handler closed the connection.
    #[error("it closed the connection")]
    Closed,
    /// The response cannot be read.
    #[error(transparent)]
    Invalid(#[from] InvalidResponseError),
}

/// Sends a request and reads its response into `received`, which must be empty. No other request may be in flight.
///
/// # Errors
///
/// [`ExchangeError`]
pub async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    received: &mut Vec<u8>,
) -> Result<Response, ExchangeError> {
    // A server that rejects a request may reply and close before it has read it completely. Such a reply is returned instead
    // of the write error.
    let write_error = stream.write_all(request).await.err();
    let error = loop {
        let at_end = match stream.read_buf(received).await {
            Ok(count) => count == 0,
            Err(error) => break error.into(),
        };
        match Response::read(received, at_end) {
            Ok(Some(response)) => return Ok(response),
            Ok(None) if at_end => break ExchangeError::Closed,
            Ok(None) => {}
            Err(error) => break error.into(),
        }
    };
    Err(write_error.map_or(error, ExchangeError::from))
}
