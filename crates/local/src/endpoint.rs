//! Calls a function of the handler over HTTP, byte for byte as the host does.
//!
//! No HTTP library is used for the request, because none writes the names of headers in the host's letter case.

mod connection;
pub mod exchange;
mod framing;
pub mod response;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use hyper::Uri;

use connection::Connection;
use framing::frame;
use response::Response;

/// The limit of redirects of the host's HTTP client.
const MAX_REDIRECTS: usize = 50;

/// A function of a handler.
pub struct Endpoint {
    address: SocketAddr,
    path: String,
    /// Connections without a request in flight.
    idle: Mutex<Vec<Connection>>,
}

/// The response of a handler.
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The content type, if it is text.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Endpoint {
    /// Returns the endpoint of a function, in the handler on this port of 127.0.0.1.
    #[must_use]
    pub fn new(port: u16, function: &str) -> Self {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Self { address, path: format!("/{function}"), idle: Mutex::default() }
    }

    /// Posts an invocation over a persistent connection and returns the response. A redirect is followed, as a GET unless its
    /// status keeps the method.
    ///
    /// # Errors
    ///
    /// The connection was refused or closed; the text contains the cause.
    pub async fn post(&self, invocation_id: &str, body: String) -> Result<HttpResponse, String> {
        let (mut path, mut body) = (self.path.clone(), Some(body));
        for _ in 0..MAX_REDIRECTS {
            let request = frame(self.address, &path, invocation_id, body.as_deref());
            let (response, body_bytes) =
                self.send(&request).await.map_err(|reason| format!("the handler did not answer: {reason}"))?;
            let status = response.status;
            match response.location.as_deref().and_then(|location| self.redirected(status, location)) {
                Some(redirected) => path = redirected,
                None => {
                    return Ok(HttpResponse { status, content_type: response.content_type, body: body_bytes });
                }
            }
            if !matches!(status, 307 | 308) {
                body = None;
            }
        }
        Err(format!("the handler redirected more than {MAX_REDIRECTS} times"))
    }

    /// Returns the path to which a response redirects. The stand-in does not call other hosts.
    fn redirected(&self, status: u16, location: &str) -> Option<String> {
        let location: Uri = location.parse().ok().filter(|_| matches!(status, 300..=303 | 307 | 308))?;
        let is_here = location.authority().is_none_or(|authority| authority.as_str() == self.address.to_string());
        is_here.then(|| location.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string))
    }

    /// Sends a request over an idle connection or a new one. A request whose connection was closed meanwhile is not repeated,
    /// as in the host: it may have been processed.
    async fn send(&self, request: &[u8]) -> Result<(Response, Vec<u8>), String> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = loop {
            let last = idle().pop();
            match last {
                Some(connection) if connection.is_open() => break connection,
                Some(_) => {}
                None => break Connection::open(self.address).await?,
            }
        };
        let (response, body) = connection.call(request).await?;
        if response.keeps_connection {
            idle().push(connection);
        }
        Ok((response, body))
    }
}
