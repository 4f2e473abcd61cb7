//! How long a storage service is waited for: an outage is known within five seconds, whichever way the service is out.
//!
//! That is for the handler, since the host repeats what fails: the SDK's own patience is eight retries in more than a
//! minute, and a minute for each answer. The tools for dead letters have a little more of it: one slow answer of ten
//! thousand should not end a run.

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

/// How patient a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryLimits {
    /// The most retries.
    retries: u32,
    /// No try begins later than this after the end of the first, but for the last delay.
    window_ms: u64,
    /// How long a try may take, if its body is small.
    try_ms: u64,
}

/// Of the handler: an invocation waits for it.
pub(crate) const HANDLER: RetryLimits = RetryLimits { retries: 3, window_ms: 1_000, try_ms: 1_500 };
/// Of a tool: a person waits for it, and would begin a long run again otherwise.
pub(crate) const TOOL: RetryLimits = RetryLimits { retries: 4, window_ms: 11_000, try_ms: 10_000 };

/// The shortest delay, before the first retry; each further one is twice as long.
const DELAY_MS: u64 = 100;
/// How fast a body has to go at least.
const BYTES_IN_A_MS: u64 = 1_024;
/// How long getting a token may take. It is not part of a try: `az` alone can take seconds for it.
const TOKEN_MS: u64 = 15_000;

const LONGEST_DELAY_MS: u64 = DELAY_MS << HANDLER.retries;
const _: () = assert!(HANDLER.try_ms + HANDLER.window_ms + LONGEST_DELAY_MS + HANDLER.try_ms < 5_000);

impl RetryLimits {
    /// What the clients are told about retries.
    pub(super) fn retry_options(self) -> RetryOptions {
        RetryOptions::custom(Arc::new(Retries(self)))
    }
}

#[derive(Debug)]
struct Retries(RetryLimits);

impl RetryPolicy for Retries {
    fn is_expired(&self, since_first_try: Duration, retries: u32) -> bool {
        retries >= self.0.retries || since_first_try >= milliseconds(self.0.window_ms)
    }

    /// None: a service that asks for more patience than this is told of as busy.
    fn retry_headers(&self) -> Option<&RetryHeaders> {
        None
    }

    /// The SDK's own choice.
    fn retry_status_codes(&self) -> &[StatusCode] {
        &[]
    }

    fn sleep_duration(&self, retry: u32) -> Duration {
        let shortest = DELAY_MS << retry.clamp(1, self.0.retries).saturating_sub(1);
        milliseconds(shortest).saturating_add(milliseconds(shortest) * System.fraction())
    }
}

/// Ends each try in time. It belongs behind the policies that get tokens.
#[derive(Debug)]
pub(super) struct Limit(pub(super) RetryLimits);

#[async_trait]
impl Policy for Limit {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let limit = self.0.try_ms + request.body().len().unwrap_or_default() / BYTES_IN_A_MS;
        let sent = timeout(std::time::Duration::from_millis(limit), next[0].send(context, request, &next[1..]));
        sent.await.unwrap_or_else(|_| Err(silence()))
    }
}

/// The bytes of an answer. [`Limit`] ends where they begin, so from there on each piece of them has as long as a try.
pub(super) async fn collected(mut body: AsyncResponseBody) -> azure_core::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = std::time::Duration::from_millis(HANDLER.try_ms);
    while let Some(piece) = timeout(limit, body.next()).await.unwrap_or_else(|_| Some(Err(silence()))) {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

fn silence() -> Error {
    Error::new(ErrorKind::Io, io::Error::from(io::ErrorKind::TimedOut))
}

/// The same credential, with an end to its patience, and with errors that cannot be taken for the service's.
pub(super) fn limited(credential: Arc<dyn TokenCredential>) -> Arc<dyn TokenCredential> {
    Arc::new(Limited(credential))
}

#[derive(Debug)]
struct Limited(Arc<dyn TokenCredential>);

#[async_trait]
impl TokenCredential for Limited {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        match timeout(std::time::Duration::from_millis(TOKEN_MS), self.0.get_token(scopes, options)).await {
            Ok(token) => token.map_err(|error| Error::new(ErrorKind::Credential, error)),
            Err(_) => Err(Error::with_message(ErrorKind::Credential, format!("there was none within {TOKEN_MS} ms"))),
        }
    }
}

fn milliseconds(number: u64) -> Duration {
    Duration::milliseconds(i64::try_from(number).unwrap_or(i64::MAX))
}
