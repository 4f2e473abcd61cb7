//! Limits how many requests for the state of devices are answered at the same time, so that readers take neither the memory nor
//! the store from the events.

use std::time::Duration;

use devicestate_read_api::{Problem, ReadApi, Request, Response};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// The most requests for one device that are answered at the same time.
const MAX_DEVICES: usize = 12;

/// The most other requests that are answered at the same time. Each may read all documents, and its answer takes up to 8 MiB. Requests
/// for one device do not wait for them.
const MAX_LISTS: usize = 4;

/// The read API with a limit of concurrent requests.
pub(super) struct Readers {
    api: ReadApi,
    devices: Semaphore,
    lists: Semaphore,
}

impl Readers {
    pub(super) fn new(api: ReadApi) -> Self {
        Self { api, devices: Semaphore::new(MAX_DEVICES), lists: Semaphore::new(MAX_LISTS) }
    }

    /// Answers a request within this time, in which it also waits for others.
    pub(super) async fn answer(&self, request: &Request<'_>, budget: Duration) -> Response {
        let deadline = Instant::now() + budget;
        let permits = if request.names_device() { &self.devices } else { &self.lists };
        match timeout_at(deadline, permits.acquire()).await {
            Ok(_permit) => self.api.answer_within(request, deadline.duration_since(Instant::now())).await,
            Err(_) => Response::from(&Problem::timeout(budget)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use devicestate_engine::{clock::System, store::MemoryStore};
    use devicestate_read_api::IndexedFields;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_for_one_device_does_not_wait_for_lists() {
        let api =
            ReadApi { store: Arc::new(MemoryStore::default()), indexed: IndexedFields::Every, clock: Arc::new(System) };
        let readers = Readers::new(api);
        let status = async |path, query| {
            let request = Request { method: "GET", path, query, if_none_match: None };
            readers.answer(&request, Duration::from_secs(1)).await.status
        };
        assert_eq!([status("", "").await, status("/summary", "").await], [200, 200]);
        let lists = readers.lists.acquire_many(u32::try_from(MAX_LISTS).expect("few")).await;
        assert_eq!([status("", "").await, status("/summary", "").await], [503, 503]);
        assert_eq!(status("/%73ummary", "").await, 503, "the same path");
        assert_eq!([status("/a", "").await, status("", "id=a").await], [404, 404]);
        drop(lists);
        assert_eq!(status("", "").await, 200);
    }
}
