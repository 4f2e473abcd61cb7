//! Calls a function of the handler over HTTP, as the host does.

use std::convert::Infallible;

use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Request, Uri,
    body::{Bytes, Frame},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// The host sends a request in pieces of about this size.
const CHUNK_BYTES: usize = 64 << 10;

type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// A function of a handler.
pub struct Endpoint {
    client: Client<HttpConnector, Body>,
    uri: Uri,
}

/// The response of a handler.
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The content type, if it is text.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Endpoint {
    /// Returns the endpoint of a function, in the handler on this port of 127.0.0.1.
    #[must_use]
    pub fn new(port: u16, function: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            uri: format!("http://127.0.0.1:{port}/{function}")
                .parse()
                .expect("a function's name is valid in an address"),
        }
    }

    /// Posts an invocation over a persistent connection and returns the response.
    ///
    /// # Errors
    ///
    /// The connection was refused or closed; the text contains the cause.
    pub async fn post(&self, invocation_id: &str, body: String) -> Result<HttpResponse, String> {
        let body = Bytes::from(body);
        let pieces: Vec<_> = (0..body.len())
            .step_by(CHUNK_BYTES)
            .map(|from| Ok(Frame::data(body.slice(from..body.len().min(from + CHUNK_BYTES)))))
            .collect();
        // The length of a stream is not known beforehand, so the body is sent chunked, as the host does.
        let request = Request::post(self.uri.clone())
            .header("X-Azure-Functions-InvocationId", invocation_id)
            .header("X-Azure-Functions-HostVersion", "4.0-local")
            .header("User-Agent", "Azure-Functions-Host/4.0-local")
            .header("Content-Type", "application/json; charset=utf-8")
            .body(StreamBody::new(stream::iter(pieces)))
            .map_err(|error| error.to_string())?;
        let failed = |error: &dyn std::error::Error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("the handler did not answer: {error}{cause}")
        };
        let response = self.client.request(request).await.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(HttpResponse { status, content_type, body })
    }
}
