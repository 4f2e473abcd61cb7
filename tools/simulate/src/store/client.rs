//! A handler's client of the store: its requests may be slow, cut off, duplicated or lost.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use devicestate_engine::{
    device_state::Document,
    store::{ETag, Page, RequestCharge, Selection, StateStore, StoreError, Stored},
};
use tokio::{sync::oneshot, time::sleep};

use super::{Service, Write};
use crate::{
    clock::SimulatedClock,
    faults::{FaultInjector, OperationOutcome, connection_lost},
};

/// The store client of one process.
pub(crate) struct Client {
    service: Arc<Service>,
    faults: Arc<FaultInjector>,
    clock: Arc<SimulatedClock>,
    /// Its number among all clients of the run.
    pub(crate) number: u64,
}

impl Client {
    pub(crate) fn new(service: &Arc<Service>, faults: &Arc<FaultInjector>) -> Self {
        let number = {
            let mut state = service.state();
            state.clients += 1;
            state.clients
        };
        let clock = Arc::clone(&service.clock);
        Self { service: Arc::clone(service), faults: Arc::clone(faults), clock, number }
    }

    /// Returns a random latency, for a request or a response.
    fn latency(&self) -> Duration {
        let rates = self.faults.rates();
        if self.clock.chance(rates.slow) { self.clock.random_millis(400) } else { self.clock.random_millis(3) }
    }

    async fn put(&self, document: &Document, if_match: Option<&ETag>) -> Result<ETag, StoreError> {
        let write = self.service.begin(self.number, document.clone(), if_match.cloned());
        let (outcome, request_latency, response_latency) =
            (self.faults.next_outcome(&document.id, true), self.latency(), self.latency());
        self.clock.trace(|| format!("client {} writes {}: {outcome:?}", self.number, document.id));
        match outcome {
            OperationOutcome::Done => {
                let response = self.apply_after(request_latency, write);
                let response = response.await.unwrap_or_else(|_| Err(connection_lost()));
                sleep(response_latency).await;
                response
            }
            OperationOutcome::Fails(error) => {
                sleep(request_latency + response_latency).await;
                Err(error)
            }
            OperationOutcome::Cut(later) => {
                let _response = self.apply_after(later, write);
                sleep(response_latency).await;
                Err(connection_lost())
            }
            OperationOutcome::Doubled => {
                let response =
                    self.apply_after(request_latency, write).await.unwrap_or_else(|_| Err(connection_lost()));
                sleep(response_latency).await;
                response.and(Err(StoreError::Conflict))
            }
            OperationOutcome::Silent { is_done } => {
                let _response = is_done.then(|| self.apply_after(request_latency, write));
                pending().await
            }
        }
    }

    /// Applies a write after this delay, even if the caller drops the receiver of the response.
    fn apply_after(&self, delay: Duration, write: Write) -> oneshot::Receiver<Result<ETag, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            sleep(delay).await;
            let about = (write.client, write.document.id.clone(), write.if_match.clone());
            let result = service.apply(write);
            service.clock.trace(|| {
                let (client, id, if_match) = about;
                format!("client {client} has written {id} over {if_match:?}: {result:?}")
            });
            // The client may be gone.
            let _ = sender.send(result);
        });
        receiver
    }
}

#[async_trait]
impl StateStore for Client {
    async fn read(&self, id: &str, _: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let (outcome, request_latency, response_latency) =
            (self.faults.next_outcome(id, false), self.latency(), self.latency());
        self.clock.trace(|| format!("client {} reads {id}: {outcome:?}", self.number));
        match outcome {
            OperationOutcome::Done | OperationOutcome::Cut(_) | OperationOutcome::Doubled => {
                sleep(request_latency).await;
                let stored = self.service.document(id).map(|stored| (*stored).clone());
                sleep(response_latency).await;
                Ok(stored)
            }
            OperationOutcome::Fails(error) => {
                sleep(request_latency + response_latency).await;
                Err(error)
            }
            OperationOutcome::Silent { .. } => pending().await,
        }
    }

    async fn create(&self, document: &Document, _: &RequestCharge) -> Result<ETag, StoreError> {
        self.put(document, None).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag, _: &RequestCharge) -> Result<ETag, StoreError> {
        self.put(document, Some(if_match)).await
    }

    async fn list(&self, selection: Selection<'_>, _: &RequestCharge) -> Result<Page, StoreError> {
        let Selection { filter, after, limit } = selection;
        if self.faults.is_listing_out() {
            sleep(self.latency()).await;
            return Err(StoreError::Transient("503: unavailable".into()));
        }
        let documents = self.service.documents();
        let following = documents.iter().filter(|stored| after.is_none_or(|after| stored.document.id.as_str() > after));
        let following = following.filter(|stored| filter.matches(&stored.document));
        Ok(following.take(limit).map(|stored| stored.document.clone()).collect::<Vec<_>>().into())
    }
}
