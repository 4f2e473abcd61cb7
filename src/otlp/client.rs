//! Sends exports with the HTTP client that the binary already has, on the handler's runtime.

use std::{
    error::Error,
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use devicestate_engine::text::error_message;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// The shortest time between two warnings about failed exports of a signal.
const WARNING_INTERVAL: Duration = Duration::from_hours(1);

/// Limits how much of a response body is read. It is read so that its connection can be reused; its content is not used.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Sends the exports of one signal.
pub(super) struct Client {
    /// The signal's name in warnings.
    signal: String,
    /// The setting with the endpoint, for warnings.
    setting: &'static str,
    timeout: Duration,
    http: reqwest::Client,
    /// Runs the requests, since the exporters' threads have no runtime.
    runtime: Handle,
    last_warning: Mutex<Option<Instant>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("signal", &self.signal).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (http, timeout) = (self.http.clone(), self.timeout);
        let sending = self.runtime.spawn(async move { send(&http, request, timeout).await });
        let sent = sending.await.map_err(HttpError::from).flatten();
        match &sent {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.warn(&format!("it answered {}", response.status())),
            Err(error) => self.warn(&with_causes(&**error)),
        }
        sent
    }
}

async fn send(
    http: &reqwest::Client,
    request: Request<Bytes>,
    timeout: Duration,
) -> Result<Response<Bytes>, HttpError> {
    let mut request = reqwest::Request::try_from(request)?;
    *request.timeout_mut() = Some(timeout);
    // The URL may contain a secret.
    let mut response = http.execute(request).await.map_err(reqwest::Error::without_url)?;
    let mut left = MAX_RESPONSE_BYTES;
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            break;
        }
    }
    let mut sent = Response::new(Bytes::new());
    *sent.status_mut() = response.status();
    // The exporter honours the collector's `Retry-After`.
    *sent.headers_mut() = std::mem::take(response.headers_mut());
    Ok(sent)
}

impl Client {
    /// Limits an export if no setting does; OpenTelemetry's default.
    pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

    /// Creates a client for a signal with its endpoint in this setting. Must be called within a runtime.
    pub(super) fn new(signal: &str, setting: &'static str, timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().build()?;
        let (signal, runtime) = (signal.to_owned(), Handle::current());
        Ok(Self { signal, setting, timeout, http, runtime, last_warning: Mutex::default() })
    }

    /// Logs a warning, at most one an hour: all exports during an outage fail in the same way.
    fn warn(&self, problem: &str) {
        let Ok(mut last) = self.last_warning.lock() else { return };
        if last.is_some_and(|last| last.elapsed() < WARNING_INTERVAL) {
            return;
        }
        *last = Some(Instant::now());
        let Self { signal, setting, .. } = self;
        tracing::warn!(
            "an export of the handler's {signal} failed: {problem}. Only the collector misses them; events and documents \
             are not affected. Check the setting `{setting}`. This warning is repeated after an hour at the earliest"
        );
    }
}

/// Returns the message of an error with those of its causes, since an HTTP error alone does not name the reason.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut cause) = (error_message(error), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {}", error_message(error));
        cause = error.source();
    }
    text
}
