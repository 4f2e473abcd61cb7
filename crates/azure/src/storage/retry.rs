//! Retries and timeouts of requests to a storage service.
//!
//! The handler detects any outage within five seconds, since the host retries the batch. The SDK's defaults are eight
//! retries in more than a minute, and a minute for each response. The tools for dead letters have higher limits: one slow
//! response in ten thousand must not end a run.

use std::{io, sync::Arc};

use async_trait::async_trait;
use azure_core::{
    Error,
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    error::ErrorKind,
    http::{
        AsyncResponseBody, Context, Request, RetryOptions, StatusCode,
        policies::{Policy, PolicyResult, RetryHeaders, RetryPolicy},
    },
    time::Duration,
};
use devicestate_engine::clock::{Random as _, System};
use futures_util::StreamExt as _;
use tokio::time::timeout;

/// Limits the tries of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryLimits {
    /// The largest number of retries.
    max_retries: u32,
    /// No retry is scheduled later than this after the end of the first try; the last delay is added to it.
    retry_window_ms: u64,
    /// The time limit of a try, in milliseconds, if its body is small.
    try_ms: u64,
}

/// The limits of the handler: an invocation waits for the request.
pub(crate) const HANDLER_LIMITS: RetryLimits = RetryLimits { max_retries: 3, retry_window_ms: 1_000, try_ms: 1_500 };
/// The limits of a tool: an operator waits for it, and would have to repeat a long run.
pub(crate) const TOOL_LIMITS: RetryLimits = RetryLimits { max_retries: 4, retry_window_ms: 11_000, try_ms: 10_000 };

/// The shortest delay before the first retry. It doubles with each further retry.
const FIRST_DELAY_MS: u64 = 100;
/// The lowest upload speed for which a try is given time, in bytes per millisecond.
const MIN_BYTES_PER_MS: u64 = 1_024;
/// The time limit for obtaining a token. It is not part of a try: `az` alone can take seconds.
const MAX_TOKEN_MS: u64 = 15_000;

const MAX_DELAY_MS: u64 = FIRST_DELAY_MS << HANDLER_LIMITS.max_retries;
const _: () =
    assert!(HANDLER_LIMITS.try_ms + HANDLER_LIMITS.retry_window_ms + MAX_DELAY_MS + HANDLER_LIMITS.try_ms < 5_000);

impl RetryLimits {
    /// Returns the retry options of the SDK's clients.
    pub(super) fn retry_options(self) -> RetryOptions {
        RetryOptions::custom(Arc::new(ExponentialBackoff(self)))
    }
}

/// The delays between tries, with jitter.
#[derive(Debug)]
struct ExponentialBackoff(RetryLimits);

impl RetryPolicy for ExponentialBackoff {
    fn is_expired(&self, since_first_try: Duration, retries: u32) -> bool {
        retries >= self.0.max_retries || since_first_try >= milliseconds(self.0.retry_window_ms)
    }

    /// Ignores `Retry-After`: a service that needs longer than these limits is reported as busy.
    fn retry_headers(&self) -> Option<&RetryHeaders> {
        None
    }

    /// Empty: the SDK's default applies.
    fn retry_status_codes(&self) -> &[StatusCode] {
        &[]
    }

    fn sleep_duration(&self, retry: u32) -> Duration {
        let shortest = FIRST_DELAY_MS << retry.clamp(1, self.0.max_retries).saturating_sub(1);
        milliseconds(shortest).saturating_add(milliseconds(shortest) * System.fraction())
    }
}

/// A policy that limits the time of each try. It must run after the policies that obtain tokens.
#[derive(Debug)]
pub(super) struct TryTimeout(pub(super) RetryLimits);

#[async_trait]
impl Policy for TryTimeout {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let limit = self.0.try_ms + request.body().len().unwrap_or_default() / MIN_BYTES_PER_MS;
        let sent = timeout(std::time::Duration::from_millis(limit), next[0].send(context, request, &next[1..]));
        sent.await.unwrap_or_else(|_| Err(timeout_error()))
    }
}

/// Collects the body of a response. [`TryTimeout`] covers the headers only, so each chunk of the body has a time limit of its
/// own.
pub(super) async fn collect_body(mut body: AsyncResponseBody) -> azure_core::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = std::time::Duration::from_millis(HANDLER_LIMITS.try_ms);
    while let Some(chunk) = timeout(limit, body.next()).await.unwrap_or_else(|_| Some(Err(timeout_error()))) {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

fn timeout_error() -> Error {
    Error::new(ErrorKind::Io, io::Error::from(io::ErrorKind::TimedOut))
}

/// Returns the credential with a time limit, and with errors that can be distinguished from the service's.
pub(super) fn with_token_timeout(credential: Arc<dyn TokenCredential>) -> Arc<dyn TokenCredential> {
    Arc::new(LimitedCredential(credential))
}

#[derive(Debug)]
struct LimitedCredential(Arc<dyn TokenCredential>);

#[async_trait]
impl TokenCredential for LimitedCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        match timeout(std::time::Duration::from_millis(MAX_TOKEN_MS), self.0.get_token(scopes, options)).await {
            Ok(token) => token.map_err(|error| Error::new(ErrorKind::Credential, error)),
            Err(_) => Err(Error::with_message(
                ErrorKind::Credential,
                format!("the time limit of {MAX_TOKEN_MS} ms has passed"),
            )),
        }
    }
}

fn milliseconds(number: u64) -> Duration {
    Duration::milliseconds(i64::try_from(number).unwrap_or(i64::MAX))
}
