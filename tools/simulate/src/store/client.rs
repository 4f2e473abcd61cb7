//! What a handler has of the service: requests that may be slow, cut off, repeated or lost on the way.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use devicestate_engine::{
    device_state::Document,
    store::{ETag, RequestCharge, StateStore, StoreError, Stored},
};
use tokio::{sync::oneshot, time::sleep};

use super::{Service, Write};
use crate::{
    clock::Surroundings,
    weather::{Turn, Weather, cut},
};

/// The client of one process.
pub(crate) struct Client {
    service: Arc<Service>,
    weather: Arc<Weather>,
    clock: Arc<Surroundings>,
    /// Its number among all clients.
    pub(crate) number: u64,
}

impl Client {
    pub(crate) fn new(service: &Arc<Service>, weather: &Arc<Weather>) -> Self {
        let number = {
            let mut state = service.state();
            state.clients += 1;
            state.clients
        };
        let clock = Arc::clone(&service.clock);
        Self { service: Arc::clone(service), weather: Arc::clone(weather), clock, number }
    }

    /// How long a request is on its way.
    fn way(&self) -> Duration {
        let trouble = self.weather.trouble();
        if self.clock.happens(trouble.slow) { self.clock.millis(400) } else { self.clock.millis(3) }
    }

    async fn put(&self, document: &Document, if_match: Option<&ETag>) -> Result<ETag, StoreError> {
        let write = self.service.begin(self.number, document.clone(), if_match.cloned());
        let (turn, there, back) = (self.weather.operation(&document.id, true), self.way(), self.way());
        self.clock.trace(|| format!("client {} writes {}: {turn:?}", self.number, document.id));
        match turn {
            Turn::Done => {
                let answer = self.land_after(there, write);
                // The service answers whether or not anybody still listens.
                let answer = answer.await.unwrap_or_else(|_| Err(cut()));
                sleep(back).await;
                answer
            }
            Turn::Fails(error) => {
                sleep(there + back).await;
                Err(error)
            }
            Turn::Cut(later) => {
                let _unheard = self.land_after(later, write);
                sleep(back).await;
                Err(cut())
            }
            Turn::Doubled => {
                let answer = self.land_after(there, write).await.unwrap_or_else(|_| Err(cut()));
                sleep(back).await;
                answer.and(Err(StoreError::Conflict))
            }
            Turn::Silent { is_done } => {
                let _unheard = is_done.then(|| self.land_after(there, write));
                pending().await
            }
        }
    }

    fn land_after(&self, there: Duration, write: Write) -> oneshot::Receiver<Result<ETag, StoreError>> {
        let (answer, heard) = oneshot::channel();
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            sleep(there).await;
            let about = (write.client, write.document.id.clone(), write.if_match.clone());
            let landed = service.land(write);
            service.clock.trace(|| {
                let (client, id, if_match) = about;
                format!("client {client} has written {id} over {if_match:?}: {landed:?}")
            });
            let _ = answer.send(landed);
        });
        heard
    }
}

#[async_trait]
impl StateStore for Client {
    async fn read(&self, id: &str, _: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let (turn, there, back) = (self.weather.operation(id, false), self.way(), self.way());
        self.clock.trace(|| format!("client {} reads {id}: {turn:?}", self.number));
        match turn {
            Turn::Done | Turn::Cut(_) | Turn::Doubled => {
                sleep(there).await;
                let stored = self.service.document(id).map(|stored| (*stored).clone());
                sleep(back).await;
                Ok(stored)
            }
            Turn::Fails(error) => {
                sleep(there + back).await;
                Err(error)
            }
            Turn::Silent { .. } => pending().await,
        }
    }

    async fn create(&self, document: &Document, _: &RequestCharge) -> Result<ETag, StoreError> {
        self.put(document, None).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag, _: &RequestCharge) -> Result<ETag, StoreError> {
        self.put(document, Some(if_match)).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let documents = self.service.documents();
        let behind = documents.iter().filter(|stored| after.is_none_or(|after| stored.document.id.as_str() > after));
        Ok(behind.take(limit).map(|stored| stored.document.clone()).collect())
    }
}
