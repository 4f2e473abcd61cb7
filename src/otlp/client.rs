//! How exports are sent: by the HTTP client that the binary has anyway, on the handler's own runtime.

use std::{
    error::Error,
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// How long nothing more is said of exports that fail.
const QUIET: Duration = Duration::from_hours(1);

/// Of an answer so much is read, so that its connection can be used again. What it says is of no use.
const ANSWER: usize = 64 * 1024;

/// Sends the exports of one signal.
pub(super) struct Client {
    /// What is exported, for people.
    signal: String,
    /// The setting that says where to, for people.
    setting: &'static str,
    timeout: Duration,
    http: reqwest::Client,
    /// The threads of the exporters have no runtime.
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
            Ok(response) => self.warn(&format!("it answers {}", response.status())),
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
    // Its address may have a secret in it.
    let mut response = http.execute(request).await.map_err(reqwest::Error::without_url)?;
    let mut left = ANSWER;
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            break;
        }
    }
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    // With them comes how long the collector wants to be left alone.
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    Ok(answer)
}

impl Client {
    /// How long an export may take, as in OpenTelemetry.
    pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

    /// For a signal, whose endpoint is in this setting. Within a runtime.
    pub(super) fn new(signal: &str, setting: &'static str, timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().build()?;
        let (signal, runtime) = (signal.to_owned(), Handle::current());
        Ok(Self { signal, setting, timeout, http, runtime, last_warning: Mutex::default() })
    }

    /// Says once what is wrong, and then nothing for a while: each export of an outage fails alike.
    fn warn(&self, problem: &str) {
        let Ok(mut last) = self.last_warning.lock() else { return };
        if last.is_some_and(|last| last.elapsed() < QUIET) {
            return;
        }
        *last = Some(Instant::now());
        let Self { signal, setting, .. } = self;
        tracing::warn!(
            "the collector does not take the handler's {signal}: {problem}. What it misses is lost to it, and nothing \
             else is; the setting {setting} says where it is. Not said again for an hour"
        );
    }
}

/// An error of HTTP says little; its causes say it.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
