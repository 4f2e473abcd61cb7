//! An event hub for tests, behind a loopback port: it speaks AMQP by `fe2o3-amqp`'s acceptor, takes tokens at `$cbs`, keeps
//! what arrives, and answers as a test wants it.

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
    wire::Arrived,
};

/// How long a round trip takes. A client on `fe2o3-amqp` 0.14 notes a delivery only after it has sent it, and misses an
/// answer that comes before: a network is never that fast, and a loopback is.
const ROUND_TRIP: Duration = Duration::from_millis(10);

/// The largest message that this hub takes.
pub(crate) const LARGEST: u64 = 1 << 20;

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Taken, and told so.
    Accept,
    /// Refused: `com.microsoft:server-busy`.
    Busy,
    /// Refused, and it would be every time: `amqp:not-allowed`.
    NotAllowed,
    /// Given back.
    Release,
    /// Given back, changed.
    Modify,
    /// Taken, and nothing is told.
    Silence,
    /// Taken, and the connection ends before anything is told.
    TakeAndCut,
    /// The connection ends. Nothing is taken.
    Cut,
}

impl Answer {
    fn takes(self) -> bool {
        matches!(self, Self::Accept | Self::Silence | Self::TakeAndCut)
    }
}

/// Says what becomes of a batch: the how many-th it is, from 0, over all links, and what is in it.
type Judge = dyn Fn(usize, &Arrived) -> Answer + Send + Sync;

/// The hub. It ends with the test.
pub(crate) struct Hub {
    pub(crate) port: u16,
    seen: Arc<Seen>,
    _runtime: Runtime,
}

struct Seen {
    judge: Box<Judge>,
    /// What became of each batch, and how many events it had.
    answered: Mutex<Vec<(Answer, usize)>>,
    taken: Mutex<Vec<Arrived>>,
    tokens: Mutex<Vec<PutToken>>,
    /// The status that a token gets.
    token_status: u16,
}

impl Hub {
    /// One that takes everything.
    pub(crate) fn new() -> Self {
        Self::start(202, |_, _| Answer::Accept)
    }

    /// One that answers so.
    pub(crate) fn that(judge: impl Fn(usize, &Arrived) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(202, judge)
    }

    /// One that does not like tokens.
    pub(crate) fn that_denies() -> Self {
        Self::start(401, |_, _| Answer::Accept)
    }

    fn start(token_status: u16, judge: impl Fn(usize, &Arrived) -> Answer + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Seen {
            judge: Box::new(judge),
            answered: Mutex::default(),
            taken: Mutex::default(),
            tokens: Mutex::default(),
            token_status,
        });
        let seen_by_all = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen_by_all)));
            }
        });
        Self { port, seen, _runtime: runtime }
    }

    /// What it has taken, in the order in which it did.
    pub(crate) fn taken(&self) -> Vec<Arrived> {
        self.seen.taken.lock().expect("no test has panicked with it").clone()
    }

    /// How many batches came, taken or not.
    pub(crate) fn deliveries(&self) -> usize {
        self.seen.answered.lock().expect("no test has panicked with it").len()
    }

    /// How many events were in batches that got this answer.
    pub(crate) fn events_that_got(&self, answer: Answer) -> u64 {
        let answered = self.seen.answered.lock().expect("no test has panicked with it");
        answered.iter().filter(|(got, _)| *got == answer).map(|(_, events)| *events as u64).sum()
    }

    /// The tokens that were put.
    pub(crate) fn tokens(&self) -> Vec<PutToken> {
        self.seen.tokens.lock().expect("no test has panicked with it").clone()
    }
}

/// A connection. Between the network and the protocol there is a pump, which can be stopped.
async fn serve(mut network: TcpStream, seen: Arc<Seen>) {
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
        tasks.spawn(serve_session(session, Arc::clone(&seen), pump.clone()));
    }
}

async fn serve_session(mut session: ListenerSessionHandle, seen: Arc<Seen>, pump: AbortHandle) {
    let links = LinkAcceptor::builder().max_message_size(LARGEST).build();
    let (answers, mut to_answer) = (mpsc::channel(8), None);
    let (answer, from_node) = answers;
    to_answer.replace(from_node);
    let mut tasks = JoinSet::new();
    while let Ok(link) = links.accept(&mut session).await {
        match link {
            LinkEndpoint::Sender(sender) => {
                let answers = to_answer.take().expect("one link of answers in a session");
                tasks.spawn(tokens::answer(sender, answers));
            }
            LinkEndpoint::Receiver(receiver) => {
                let address = receiver.target().as_ref().and_then(|target| target.address.clone());
                if address.as_deref() == Some("$cbs") {
                    let (seen, answer) = (Arc::clone(&seen), answer.clone());
                    let keep = move |token| {
                        seen.tokens.lock().expect("no test has panicked with it").push(token);
                        seen.token_status
                    };
                    tasks.spawn(tokens::take(receiver, answer, keep));
                } else {
                    tasks.spawn(take(receiver, address.unwrap_or_default(), Arc::clone(&seen), pump.clone()));
                }
            }
        }
    }
}

/// Takes batches.
async fn take(mut receiver: Receiver, address: String, seen: Arc<Seen>, pump: AbortHandle) {
    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
        let arrived = Arrived::read(&address, &delivery);
        let answer = {
            let mut answered = seen.answered.lock().expect("no test has panicked with it");
            let answer = (seen.judge)(answered.len(), &arrived);
            answered.push((answer, arrived.events.len()));
            answer
        };
        if answer.takes() {
            seen.taken.lock().expect("no test has panicked with it").push(arrived);
        }
        if matches!(answer, Answer::Cut | Answer::TakeAndCut) {
            pump.abort();
            return;
        }
        sleep(ROUND_TRIP).await;
        let refusal = |condition: ErrorCondition| Error::new(condition, Some("as the test wants it".into()), None);
        let answered = match answer {
            Answer::Accept => receiver.accept(&delivery).await,
            Answer::Busy => {
                let busy = ErrorCondition::Custom(Symbol::from("com.microsoft:server-busy"));
                receiver.reject(&delivery, refusal(busy)).await
            }
            Answer::NotAllowed => receiver.reject(&delivery, refusal(AmqpError::NotAllowed.into())).await,
            Answer::Release => receiver.release(&delivery).await,
            Answer::Modify => {
                receiver
                    .modify(
                        &delivery,
                        Modified { delivery_failed: None, undeliverable_here: None, message_annotations: None },
                    )
                    .await
            }
            Answer::Silence | Answer::TakeAndCut | Answer::Cut => Ok(()),
        };
        if answered.is_err() {
            return;
        }
    }
}
