//! An event hub for tests on a loopback port: it speaks AMQP through `fe2o3-amqp`'s acceptor, receives tokens at `$cbs`,
//! stores batches, and responds as a test specifies.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use fe2o3_amqp::{
    Receiver,
    acceptor::{
        ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SaslAnonymousMechanism, SessionAcceptor,
    },
    types::{
        definitions::{AmqpError, Error, ErrorCondition},
        messaging::{Body, Modified},
        primitives::{Symbol, Value},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use super::{
    tokens::{self, PutToken},
    wire::ReceivedBatch,
};

/// How long a response is delayed. A client on `fe2o3-amqp` 0.14 records a delivery only after it has sent it, and misses an
/// earlier response. A network is never that fast, but loopback is.
const ROUND_TRIP: Duration = Duration::from_millis(10);

/// The largest message that this hub accepts.
pub(crate) const MAX_MESSAGE_BYTES: u64 = 1 << 20;

/// How the hub responds to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchResponse {
    /// Accepted.
    Accept,
    /// Rejected: `com.microsoft:server-busy`.
    Busy,
    /// Rejected permanently: `amqp:not-allowed`.
    NotAllowed,
    /// Released.
    Release,
    /// Released as modified.
    Modify,
    /// Accepted without a response.
    NoResponse,
    /// Accepted, and the connection ends before the response.
    AcceptAndDisconnect,
    /// The connection ends, and nothing is accepted.
    Disconnect,
}

impl BatchResponse {
    fn is_accepted(self) -> bool {
        matches!(self, Self::Accept | Self::NoResponse | Self::AcceptAndDisconnect)
    }
}

/// Returns the response to a batch, from its number over all links, beginning with 0, and its content.
type Responder = dyn Fn(usize, &ReceivedBatch) -> BatchResponse + Send + Sync;

/// The hub. It is stopped when it is dropped.
pub(crate) struct Hub {
    pub(crate) port: u16,
    state: Arc<HubState>,
    _runtime: Runtime,
}

struct HubState {
    responder: Box<Responder>,
    /// The response to each batch, and its number of events.
    responses: Mutex<Vec<(BatchResponse, usize)>>,
    accepted_batches: Mutex<Vec<ReceivedBatch>>,
    tokens: Mutex<Vec<PutToken>>,
    /// The status that a token gets.
    token_status: u16,
}

impl Hub {
    /// Starts a hub that accepts everything.
    pub(crate) fn new() -> Self {
        Self::start(202, |_, _| BatchResponse::Accept)
    }

    /// Starts a hub with these responses.
    pub(crate) fn with_responder(
        responder: impl Fn(usize, &ReceivedBatch) -> BatchResponse + Send + Sync + 'static,
    ) -> Self {
        Self::start(202, responder)
    }

    /// Starts a hub that denies every token.
    pub(crate) fn denying_tokens() -> Self {
        Self::start(401, |_, _| BatchResponse::Accept)
    }

    fn start(
        token_status: u16,
        responder: impl Fn(usize, &ReceivedBatch) -> BatchResponse + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(HubState {
            responder: Box::new(responder),
            responses: Mutex::default(),
            accepted_batches: Mutex::default(),
            tokens: Mutex::default(),
            token_status,
        });
        let hub_state = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&hub_state)));
            }
        });
        Self { port, state, _runtime: runtime }
    }

    /// Returns the accepted batches in their order.
    pub(crate) fn accepted_batches(&self) -> Vec<ReceivedBatch> {
        self.state.accepted_batches.lock().expect("not poisoned").clone()
    }

    /// Returns how many batches arrived, accepted or not.
    pub(crate) fn deliveries(&self) -> usize {
        self.state.responses.lock().expect("not poisoned").len()
    }

    /// Returns how many events were in batches with this response.
    pub(crate) fn events_with_response(&self, response: BatchResponse) -> u64 {
        let responses = self.state.responses.lock().expect("not poisoned");
        responses.iter().filter(|(got, _)| *got == response).map(|(_, events)| *events as u64).sum()
    }

    /// Returns the tokens that were put.
    pub(crate) fn tokens(&self) -> Vec<PutToken> {
        self.state.tokens.lock().expect("not poisoned").clone()
    }
}

/// Serves a connection. A task copies between network and protocol; aborting it cuts the connection.
async fn serve(mut network: TcpStream, state: Arc<HubState>) {
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let pump = tokio::spawn(async move { copy_bidirectional(&mut network, &mut near).await.map(drop) }).abort_handle();
    let acceptor = ConnectionAcceptor::builder()
        .container_id("hub")
        .sasl_acceptor(SaslAnonymousMechanism {})
        .max_frame_size(65_536)
        .build();
    let Ok(mut connection) = acceptor.accept(far).await else { return };
    let sessions = SessionAcceptor::builder().incoming_window(u32::MAX).outgoing_window(u32::MAX).build();
    let mut tasks = JoinSet::new();
    while let Ok(session) = sessions.accept(&mut connection).await {
        tasks.spawn(serve_session(session, Arc::clone(&state), pump.clone()));
    }
}

async fn serve_session(mut session: ListenerSessionHandle, state: Arc<HubState>, pump: AbortHandle) {
    let links = LinkAcceptor::builder().max_message_size(MAX_MESSAGE_BYTES).build();
    let (token_responses, receiver) = mpsc::channel(8);
    let mut response_receiver = Some(receiver);
    let mut tasks = JoinSet::new();
    while let Ok(link) = links.accept(&mut session).await {
        match link {
            LinkEndpoint::Sender(sender) => {
                let responses = response_receiver.take().expect("one link of responses per session");
                tasks.spawn(tokens::respond(sender, responses));
            }
            LinkEndpoint::Receiver(receiver) => {
                let address = receiver.target().as_ref().and_then(|target| target.address.clone());
                if address.as_deref() == Some("$cbs") {
                    let (state, token_responses) = (Arc::clone(&state), token_responses.clone());
                    let store = move |token| {
                        state.tokens.lock().expect("not poisoned").push(token);
                        state.token_status
                    };
                    tasks.spawn(tokens::receive(receiver, token_responses, store));
                } else {
                    tasks.spawn(receive(receiver, address.unwrap_or_default(), Arc::clone(&state), pump.clone()));
                }
            }
        }
    }
}

/// Receives batches and responds to them.
async fn receive(mut receiver: Receiver, address: String, state: Arc<HubState>, pump: AbortHandle) {
    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
        let batch = ReceivedBatch::read(&address, &delivery);
        let response = {
            let mut responses = state.responses.lock().expect("not poisoned");
            let response = (state.responder)(responses.len(), &batch);
            responses.push((response, batch.events.len()));
            response
        };
        if response.is_accepted() {
            state.accepted_batches.lock().expect("not poisoned").push(batch);
        }
        if matches!(response, BatchResponse::Disconnect | BatchResponse::AcceptAndDisconnect) {
            pump.abort();
            return;
        }
        sleep(ROUND_TRIP).await;
        let rejection = |condition: ErrorCondition| Error::new(condition, Some("as the test specifies".into()), None);
        let responses = match response {
            BatchResponse::Accept => receiver.accept(&delivery).await,
            BatchResponse::Busy => {
                let busy = ErrorCondition::Custom(Symbol::from("com.microsoft:server-busy"));
                receiver.reject(&delivery, rejection(busy)).await
            }
            BatchResponse::NotAllowed => receiver.reject(&delivery, rejection(AmqpError::NotAllowed.into())).await,
            BatchResponse::Release => receiver.release(&delivery).await,
            BatchResponse::Modify => {
                receiver
                    .modify(
                        &delivery,
                        Modified { delivery_failed: None, undeliverable_here: None, message_annotations: None },
                    )
                    .await
            }
            BatchResponse::NoResponse | BatchResponse::AcceptAndDisconnect | BatchResponse::Disconnect => Ok(()),
        };
        if responses.is_err() {
            return;
        }
    }
}
