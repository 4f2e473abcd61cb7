//! How long a storage service is waited for: an outage is known within five seconds, whichever way the service is out.
//!
//! The SDK's own patience is eight retries in more than a minute, and a minute for each answer. Here the host repeats
//! what fails, and a person waits for the tools; both are better served by an early error.

use std::{io, sync::Arc};

use async_trait::async_trait;
use azure_core::{
    Error,
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    error::ErrorKind,
    http::{
        Context, Request, RetryOptions, StatusCode,
        policies::{Policy, PolicyResult, RetryHeaders, RetryPolicy},
    },
    time::Duration,
};
use tokio::time::timeout;

use crate::surroundings::{Random as _, System};

/// The most retries, so that there are four tries.
const RETRIES: u32 = 3;
/// No try begins later than this after the end of the first, but for the last delay.
const WINDOW_MS: u64 = 1_000;
/// The shortest delay, before the first retry; each further one is twice as long.
const DELAY_MS: u64 = 100;
/// How long a try may take, if its body is small.
const TRY_MS: u64 = 1_500;
/// How fast a body has to go at least.
const BYTES_IN_A_MS: u64 = 1_024;
/// How long getting a token may take. It is not part of a try: `az` alone can take seconds for it.
const TOKEN_MS: u64 = 15_000;

const LONGEST_DELAY_MS: u64 = DELAY_MS << RETRIES;
const _: () = assert!(TRY_MS + WINDOW_MS + LONGEST_DELAY_MS + TRY_MS < 5_000);

/// What the clients are told about retries.
pub(super) fn retry_options() -> RetryOptions {
    RetryOptions::custom(Arc::new(Retries))
}

#[derive(Debug)]
struct Retries;

impl RetryPolicy for Retries {
    fn is_expired(&self, since_first_try: Duration, retries: u32) -> bool {
        retries >= RETRIES || since_first_try >= milliseconds(WINDOW_MS)
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
        let shortest = DELAY_MS << retry.clamp(1, RETRIES).saturating_sub(1);
        milliseconds(shortest).saturating_add(milliseconds(shortest) * System.fraction())
    }
}

/// Ends each try in time. It belongs behind the policies that get tokens.
#[derive(Debug)]
pub(super) struct Limit;

#[async_trait]
impl Policy for Limit {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let limit = TRY_MS + request.body().len().unwrap_or_default() / BYTES_IN_A_MS;
        let sent = timeout(std::time::Duration::from_millis(limit), next[0].send(context, request, &next[1..]));
        sent.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, io::Error::from(io::ErrorKind::TimedOut))))
    }
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
