//! The handler: a function that waits, then appends each event of its invocation to the list of its key.

use std::{io, net::Ipv4Addr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::post,
    serve::ListenerExt as _,
};
use devicestate_engine::{
    batch::Source,
    function_app::{Cardinality, DataType, EventHubTrigger, Function, QueueOutput, ServiceBusTrigger, Trigger},
    invocation::Invocation,
    reply::Reply,
};
use devicestate_ordering::plan::{Numbered, Plan};
use tokio::net::TcpListener;

use crate::{fault::Fault, lists::Lists};

/// The handler of the function `Append`.
pub(crate) struct Handler {
    pub(crate) plan: Plan,
    pub(crate) function: Function,
    pub(crate) lists: Lists,
    pub(crate) fault: Option<Arc<Fault>>,
}

/// Returns the function with an Event Hubs trigger, for one event or many per invocation.
pub(crate) fn hub_function(cardinality: Cardinality) -> Function {
    let trigger = Trigger::EventHub(EventHubTrigger {
        name: "events".to_owned(),
        event_hub_name: "ordered".to_owned(),
        consumer_group: "ordering".to_owned(),
        connection: "EventHubConnection".to_owned(),
        cardinality,
        data_type: DataType::Binary,
    });
    function(trigger)
}

/// Returns the function with a Service Bus trigger for sessions.
pub(crate) fn session_function() -> Function {
    function(Trigger::ServiceBus(ServiceBusTrigger {
        name: "events".to_owned(),
        queue_name: "ordered".to_owned(),
        connection: "ServiceBusConnection".to_owned(),
        is_sessions_enabled: true,
        cardinality: Cardinality::One,
        data_type: DataType::Binary,
        auto_complete_messages: true,
        source: Source { session_queue_name: "ordered".to_owned(), ..Source::default() },
    }))
}

fn function(trigger: Trigger) -> Function {
    Function { name: "Append".to_owned(), trigger, dead_letters: QueueOutput::shipped(), retry: None }
}

impl Handler {
    /// Listens in a task of the current runtime, and returns the port.
    pub(crate) async fn start(self) -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        // Replies are small and the host waits for each, so Nagle's algorithm would only delay them.
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        let path = format!("/{}", self.function.name);
        let router = Router::new().route(&path, post(invoke)).layer(DefaultBodyLimit::disable());
        let router = router.with_state(Arc::new(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(port)
    }

    /// Appends the events of one invocation.
    ///
    /// # Errors
    ///
    /// The status and reason of the reply, if the events were not appended.
    async fn append(&self, body: &Bytes) -> Result<(), (StatusCode, String)> {
        let reject_request = |reason: String| (StatusCode::BAD_REQUEST, reason);
        let batch =
            Invocation::read(body, &self.function.trigger).map_err(|error| reject_request(error.to_string()))?.batch;
        let first = batch.events.first().and_then(|event| event.position);
        let first = first.ok_or_else(|| reject_request("the batch has no event with a position".to_owned()))?;
        let events = batch.events.iter().map(|event| serde_json::from_slice(&event.body));
        let events: Vec<Numbered> =
            events.collect::<Result<_, _>>().map_err(|error| reject_request(error.to_string()))?;
        if let Some(fault) = &self.fault
            && fault.should_fail(&events).await
        {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "a resource of this event is not available".to_owned()));
        }
        let stream = batch.message.as_ref().map_or(&batch.source.partition_id, |message| &message.session_id);
        let delay = self.plan.delay(stream, first.sequence_number);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.lists.append(&events).await.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
    }
}

async fn invoke(State(handler): State<Arc<Handler>>, body: Bytes) -> Response {
    match handler.append(&body).await {
        Ok(()) => ([(CONTENT_TYPE, "application/json")], Reply::from_logs(&[]).to_json()).into_response(),
        Err((status, reason)) => (status, reason).into_response(),
    }
}
