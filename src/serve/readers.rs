//! Limits how many requests for the state of devices are answered at the same time, so that readers take neither the memory nor
//! the store from the events.

use std::time::Duration;

use devicestate_read_api::{Problem, ReadApi, Request, Response};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// The most requests that are answered at the same time. An answer takes up to 8 MiB.
const MAX_CONCURRENT: usize = 16;

/// The read API with a limit of concurrent requests.
pub(super) struct Readers {
    api: ReadApi,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn new(api: ReadApi) -> Self {
        Self { api, permits: Semaphore::new(MAX_CONCURRENT) }
    }

    /// Answers a request within this time, in which it also waits for others.
    pub(super) async fn answer(&self, request: &Request<'_>, budget: Duration) -> Response {
        let deadline = Instant::now() + budget;
        match timeout_at(deadline, self.permits.acquire()).await {
            Ok(_permit) => self.api.answer_within(request, deadline.duration_since(Instant::now())).await,
            Err(_) => Response::from(&Problem::timeout(budget)),
        }
    }
}
