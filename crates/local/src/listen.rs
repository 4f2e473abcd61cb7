//! Takes events by HTTP and gives them to the broker, as the REST API of Event Hubs and of Service Bus does.
//!
//! An event that is answered with 201 is in the broker. A sender that is faster than the handlers waits for its answer while the
//! broker is full; the waiting requests and their time are bounded, and beyond that the answer is 503, after which it sends again.

mod message;
mod refusal;
#[cfg(test)]
mod tests;

use std::{
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use devicestate_terminal::interrupt::Shutdown;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::sleep,
};

use crate::{broker::Broker, error::LocalError, hub::Sent, statistics::Statistics};
use message::Target;
use refusal::Refusal;

/// Limits the requests that are read or wait for the broker; each holds an event of up to 1 MB.
const MAX_REQUESTS: u32 = 128;

/// How long a request may take to arrive, and then to wait for room in the broker.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Takes events for a broker.
pub(super) struct Intake<B> {
    broker: Arc<B>,
    statistics: Arc<Statistics>,
    /// The name of the hub or the queue.
    entity: String,
    requests: Arc<Semaphore>,
    stop: watch::Receiver<Shutdown>,
}

impl<B: Broker> Intake<B> {
    pub(super) fn new(
        broker: Arc<B>,
        statistics: Arc<Statistics>,
        entity: String,
        stop: watch::Receiver<Shutdown>,
    ) -> Arc<Self> {
        Arc::new(Self { broker, statistics, entity, requests: Arc::new(Semaphore::new(MAX_REQUESTS as usize)), stop })
    }

    /// Returns the path to which events are sent.
    pub(super) fn path(&self) -> String {
        format!("/{}/messages", self.entity)
    }

    /// Returns a command that sends an event to this address.
    pub(super) fn example(&self, address: &str) -> String {
        let event = r#"{"deviceId":"sensor-1","battery":0.8}"#;
        let key = if self.broker.partition_count().is_some() { "PartitionKey" } else { "SessionId" };
        format!(r#"curl {address} -H 'BrokerProperties: {{"{key}":"sensor-1"}}' -d '{event}'"#)
    }

    /// Returns the routes.
    pub(super) fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/{entity}/messages", post(send::<B>).fallback(refuse_method))
            .route("/{entity}/partitions/{partition}/messages", post(send_to_partition::<B>).fallback(refuse_method))
            .with_state(Arc::clone(self))
    }

    /// Takes no more events, and waits until those that were being taken are in the broker.
    pub(super) async fn end(&self) {
        let all = self.requests.acquire_many(MAX_REQUESTS).await;
        self.requests.close();
        drop(all);
    }

    async fn answer(self: &Arc<Self>, entity: &str, partition: Option<&str>, request: Request) -> Response {
        match self.take(entity, partition, request).await {
            Ok(()) => StatusCode::CREATED.into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn take(self: &Arc<Self>, entity: &str, partition: Option<&str>, request: Request) -> Result<(), Refusal> {
        let target = self.target(entity, partition)?;
        let permit = Arc::clone(&self.requests).try_acquire_owned().map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => Refusal::ending(),
            tokio::sync::TryAcquireError::NoPermits => Refusal::busy(),
        })?;
        let too_slow = || Refusal::too_slow(MAX_WAIT);
        let events = self.unless_ended(message::read(request, &target), too_slow).await??;
        let mut events = events.into_iter();
        if let Some(first) = events.next() {
            self.unless_ended(self.put(first), Refusal::busy).await?;
        }
        if events.len() > 0 {
            // Without a time limit, and in a task of its own, which does not end when the sender goes away: so no batch is taken in
            // part.
            let intake = Arc::clone(self);
            let rest = tokio::spawn(async move {
                let _permit = permit;
                for event in events {
                    intake.put(event).await;
                }
            });
            rest.await.expect("the task neither panics nor is aborted");
        }
        Ok(())
    }

    /// Returns where the events of a request go.
    fn target(&self, entity: &str, partition: Option<&str>) -> Result<Target, Refusal> {
        // Names of entities are the same in any case.
        if !entity.eq_ignore_ascii_case(&self.entity) {
            return Err(Refusal::unknown_entity(&self.path()));
        }
        let (Some(count), Some(partition)) = (self.broker.partition_count(), partition) else {
            return match partition {
                Some(_) => Err(Refusal::unknown_entity(&self.path())),
                None if self.broker.partition_count().is_some() => Ok(Target::Hub(None)),
                None => Ok(Target::Sessions),
            };
        };
        let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
        let number = partition.parse().ok().filter(|number| is_number && *number < count);
        number.map(|number| Target::Hub(Some(number))).ok_or_else(|| Refusal::unknown_partition(count))
    }

    /// Gives an event to the broker. If this is dropped before its end, the broker does not have the event.
    async fn put(&self, event: Sent) {
        self.broker.send(event).await;
        self.statistics.received.fetch_add(1, Relaxed);
        self.statistics.received_by_http.fetch_add(1, Relaxed);
    }

    /// Waits for a future, for a limited time and only until a signal ends the run.
    async fn unless_ended<T>(
        &self,
        future: impl Future<Output = T>,
        too_late: impl FnOnce() -> Refusal,
    ) -> Result<T, Refusal> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            value = future => Ok(value),
            () = sleep(MAX_WAIT) => Err(too_late()),
            _ = stop.wait_for(|shutdown| *shutdown >= Shutdown::Draining) => Err(Refusal::ending()),
        }
    }
}

async fn send<B: Broker>(
    State(intake): State<Arc<Intake<B>>>,
    Path(entity): Path<String>,
    request: Request,
) -> Response {
    intake.answer(&entity, None, request).await
}

async fn send_to_partition<B: Broker>(
    State(intake): State<Arc<Intake<B>>>,
    Path((entity, partition)): Path<(String, String)>,
    request: Request,
) -> Response {
    intake.answer(&entity, Some(&partition), request).await
}

async fn refuse_method() -> Refusal {
    Refusal::not_post()
}

/// Opens a port on 127.0.0.1; a free one for 0.
pub(super) async fn bind(port: u16) -> Result<(TcpListener, u16), LocalError> {
    let failed = |error: std::io::Error| LocalError::port(port, &error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

/// Returns the routes with an answer for every other path, and without requests of web pages.
pub(super) fn protected(routes: Router, path: String, port: u16) -> Router {
    let unknown = move || {
        let path = path.clone();
        async move { Refusal::unknown_entity(&path).into_response() }
    };
    devicestate_live::protected(routes.fallback(unknown), port)
}
