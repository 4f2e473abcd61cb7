//! Replay over a queue: its order, its pace, and what it does when something stands in its way.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use devicestate_dead_letters::{
    Action, Audit, AuditError, AuditLine, Auditor, Filter, Outcome, Redrive, Replayer, Sweep, Swept, Tally, TriageError,
};
use devicestate_engine::{
    batch::Batch,
    clock::Clock,
    dead_letter::{Attempt, DeadLetter, Overflow},
    failure::{ErrorClass, Failure, Stage},
    processor::Processor,
    queue::{DeadLetterQueue, Message, QueueError, Received},
    rate_limit::RateLimit,
    store::StateStore,
};
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteQueue};
use devicestate_test_doubles::{
    ANY, BUDGET, NOW, Operation, ScriptedStore, StoppedClock, StoreResponse, batch, battery, event, processor,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::watch, time::Instant};

/// For how long messages are hidden.
pub(crate) const HIDDEN: Duration = Duration::from_mins(1);

/// A clock that the test sets.
pub(crate) struct OwnClock(AtomicI64);

impl Clock for OwnClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A queue in a file, with a clock of its own.
pub(crate) struct Rig {
    _folder: TempDir,
    pub(crate) queue: SqliteQueue,
    clock: Arc<OwnClock>,
}

/// The lines that were written.
#[derive(Default)]
pub(crate) struct Trail(pub(crate) Mutex<Vec<AuditLine>>);

impl Trail {
    pub(crate) fn lines(&self) -> Vec<AuditLine> {
        self.0.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl Audit for Trail {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        self.0.lock().expect("no panic").extend_from_slice(lines);
        Ok(())
    }

    fn place(&self) -> String {
        "a test".into()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(OwnClock(AtomicI64::new(NOW)));
        let database = Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a database");
        Self { _folder: folder, queue: SqliteQueue::new(database, Arc::clone(&clock) as _), clock }
    }

    pub(crate) async fn with(letters: &[DeadLetter]) -> Self {
        let rig = Self::new();
        for letter in letters {
            rig.queue.put(letter.to_json().as_bytes()).await.expect("put");
        }
        rig
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_millis().try_into().expect("a short time"), Relaxed);
    }

    pub(crate) async fn count(&self) -> u64 {
        self.queue.count().await.expect("counted")
    }

    /// The dead letters that everybody can see.
    pub(crate) async fn visible(&self) -> Vec<DeadLetter> {
        let messages = self.queue.peek(32).await.expect("peeked");
        messages.iter().map(|message| serde_json::from_slice(&message.body).expect("a dead letter")).collect()
    }
}

/// A dead letter of each of these events.
pub(crate) fn letters(mut batch: Batch) -> Vec<DeadLetter> {
    let failure = Failure {
        stage: Stage::Update,
        class: ErrorClass::Transient,
        issue: "the store would not have it".into(),
        device_id: None,
        device_state: None,
    };
    let attempt = Attempt { invocation_id: "i", number: 1, time_ms: NOW };
    // As the host tells the places.
    let places: Vec<_> = batch.events.iter().map(|event| event.position.expect("a place")).collect();
    let column = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<_> = (0..places.len()).map(cell).collect();
        devicestate_engine::batch::MetadataColumn::new(format!("[{}]", cells.join(",")), places.len())
    };
    batch.metadata.sequence_numbers = column(&|index| places[index].sequence_number.to_string());
    batch.metadata.enqueued_times = column(&|index| {
        let time = jiff::Timestamp::from_millisecond(places[index].enqueued_ms).expect("a time");
        format!("\"{}\"", time.strftime("%Y-%m-%dT%H:%M:%S%.3f"))
    });
    (0..batch.events.len()).map(|index| DeadLetter::new(&batch, index, &failure, attempt)).collect()
}

/// What a run needs beside the queue.
pub(crate) struct Run<'a> {
    pub(crate) queue: &'a dyn DeadLetterQueue,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) trail: Arc<dyn Audit>,
    pub(crate) overflow: Option<Arc<dyn Overflow>>,
    pub(crate) together: usize,
    pub(crate) per_second: Option<u32>,
}

impl<'a> Run<'a> {
    pub(crate) fn of(queue: &'a dyn DeadLetterQueue, store: &Arc<ScriptedStore>, trail: &Arc<Trail>) -> Self {
        let (store, trail) = (Arc::clone(store) as _, Arc::clone(trail) as _);
        Self { queue, store, trail, overflow: None, together: 4, per_second: None }
    }

    /// Replays all that is there.
    pub(crate) async fn replay(self) -> (Result<Swept, TriageError>, Tally) {
        let Self { queue, store, trail, overflow, together, per_second } = self;
        let engine = Processor { store, ..processor(&Arc::default()) };
        let replayer = Replayer { processor: Arc::new(engine), overflow, triggers: Vec::new() };
        let audit = Auditor {
            trail,
            action: Action::Replay,
            who: "ada".into(),
            queue: queue.name(),
            store: None,
            edit: None,
            clock: Arc::new(StoppedClock),
        };
        let rate_limit = RateLimit::new(per_second);
        let mut redrive = Redrive {
            replayer: &replayer,
            filter: &Filter::default(),
            edited: None,
            most_replays: 5,
            audit: Some(&audit),
            rate_limit,
            clock: &StoppedClock,
            tally: Tally::default(),
        };
        let (_stop, stop) = watch::channel(false);
        let sweep = Sweep { queue, hidden: HIDDEN, together: rate_limit.batch_size(together), stop, progress: &|_| () };
        let (swept, ended) = sweep.run(&mut redrive).await;
        (ended.map(|()| swept), redrive.tally)
    }
}

/// Some error of a queue.
pub(crate) fn failed() -> QueueError {
    let folder = tempfile::tempdir().expect("a folder");
    let error: DatabaseError =
        Database::open(&folder.path().join("none"), OpenMode::Existing).expect_err("there is no file");
    error.into()
}

/// What a test does around each operation of a queue.
#[async_trait]
pub(crate) trait Around: Send + Sync {
    async fn before(&self, operation: &str) -> Result<(), QueueError>;

    async fn after(&self, _: &str) -> Result<(), QueueError> {
        Ok(())
    }
}

/// A queue with something around it.
pub(crate) struct Watched<'a, A>(pub(crate) &'a SqliteQueue, pub(crate) A);

#[async_trait]
impl<A: Around> DeadLetterQueue for Watched<'_, A> {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn put(&self, body: &[u8]) -> Result<(), QueueError> {
        self.0.put(body).await
    }

    async fn count(&self) -> Result<u64, QueueError> {
        self.0.count().await
    }

    async fn peek(&self, most: usize) -> Result<Vec<Message>, QueueError> {
        self.0.peek(most).await
    }

    async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        self.1.before("receive").await?;
        let done = self.0.receive(most, hidden).await;
        self.1.after("receive").await.and(done)
    }

    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError> {
        self.1.before("update").await?;
        // What is lost on the way is the receipt, too.
        let mut updated = received.clone();
        let done = self.0.update(&mut updated, body, hidden).await;
        self.1.after("update").await?;
        *received = updated;
        done
    }

    async fn delete(&self, received: &Received) -> Result<(), QueueError> {
        self.1.before("delete").await?;
        let done = self.0.delete(received).await;
        self.1.after("delete").await.and(done)
    }
}

/// Holds each deletion against what is there by then.
struct WriteFirst(Arc<ScriptedStore>, Arc<Trail>);

#[async_trait]
impl Around for WriteFirst {
    async fn before(&self, operation: &str) -> Result<(), QueueError> {
        if operation == "delete" {
            assert!(self.0.document("drone-1").await.is_some(), "the document is written");
            let outcomes: Vec<_> = self.1.lines().iter().map(|line| line.outcome).collect();
            assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied, Outcome::FailedAgain], "and the lines are");
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_deleted_when_its_document_is_written_and_its_line_is_there() {
    let events = [battery(1, "drone-1", 0.5), battery(2, "drone-1", 0.25), event(3, &json!({"battery": 1}))];
    let rig = Rig::with(&letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let watched = Watched(&rig.queue, WriteFirst(Arc::clone(&store), Arc::clone(&trail)));
    let (swept, tally) = Run::of(&watched, &store, &trail).replay().await;
    assert_eq!((swept.expect("it ends").deleted, tally.applied, tally.failed_again), (2, 2, 1));
    let left = rig.visible().await;
    assert_eq!(left.iter().map(|letter| letter.replay.as_ref().expect("a replay").attempts).collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_makes_the_store_panic_harms_no_other() {
    let events = (1..=6).map(|number| battery(number, &format!("drone-{}", number % 3), 0.5));
    let rig = Rig::with(&letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    store.always(Operation::Write, "drone-1", StoreResponse::Panics);
    let run = Run { together: 32, ..Run::of(&rig.queue, &store, &trail) };
    let (swept, tally) = run.replay().await;
    swept.expect("it ends");
    assert_eq!((tally.applied + tally.superseded, tally.failed_again, rig.count().await), (4, 2, 2));
    for letter in rig.visible().await {
        assert!(letter.last_issue().contains("panic"), "{}", letter.last_issue());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_repeats_what_was_sent_is_told_in_short_wherever_a_replay_tells_it() {
    let mode = "x".repeat(20_000);
    let rig = Rig::with(&letters(batch([event(1, &json!({"deviceId": "drone-1", "flightMode": mode}))]))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let (_, tally) = Run::of(&rig.queue, &store, &trail).replay().await;
    let told = tally.failures.values().map(|alike| alike.issue.clone());
    let told: Vec<_> = told.chain(trail.lines().into_iter().filter_map(|line| line.issue)).collect();
    assert_eq!(told.len(), 2);
    for issue in told {
        assert!(issue.contains("flight mode") && issue.len() < 2_000, "{} bytes", issue.len());
    }
}

/// The time of the tokio clock, at each write of the store.
#[tokio::test(start_paused = true)]
async fn a_pace_is_kept_to_from_the_first_to_the_last() {
    const LETTERS: u32 = 35;
    const PER_SECOND: u32 = 10;
    let events = (1..=LETTERS).map(|number| battery(number.into(), &format!("drone-{number}"), 0.5));
    let rig = Rig::with(&letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let started = Instant::now();
    let run = Run { together: 256, per_second: Some(PER_SECOND), ..Run::of(&rig.queue, &store, &trail) };
    let (swept, tally) = run.replay().await;
    swept.expect("it ends");
    assert_eq!((tally.applied, rig.count().await), (LETTERS.into(), 0));
    let writes: Vec<_> = store.requests().into_iter().filter(|asked| asked.operation == Operation::Write).collect();
    let within = |seconds: u64| {
        let until = started + Duration::from_secs(seconds);
        writes.iter().filter(|asked| asked.at < until).count()
    };
    assert_eq!([1, 2, 3, 4].map(within), [10, 20, 30, 35]);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_out_the_first_that_could_not_be_tried_are_the_last() {
    let events = (1..=12).map(|number| battery(number, &format!("drone-{number}"), 0.5));
    let rig = Rig::with(&letters(batch(events))).await;
    let before: Vec<_> = rig.visible().await.iter().map(DeadLetter::to_json).collect();
    for answer in [
        StoreResponse::systemic(),
        StoreResponse::throttled(2 * BUDGET),
        StoreResponse::transient(),
        StoreResponse::Stalls,
    ] {
        let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
        store.always(Operation::Read, ANY, answer.clone());
        let (swept, tally) = Run::of(&rig.queue, &store, &trail).replay().await;
        let swept = swept.expect("it ends");
        assert_eq!((swept.seen, swept.deleted, swept.hidden), (4, 0, 0), "{answer:?}");
        assert_eq!((tally.replayed, tally.not_now.is_some()), (0, true), "{answer:?}");
        assert_eq!(trail.lines(), [], "{answer:?}");
        let visible: Vec<_> = rig.visible().await.iter().map(DeadLetter::to_json).collect();
        assert_eq!(visible, before, "{answer:?}");
    }
}

/// What the queue says to the second of several requests at the same time.
struct SecondFails(AtomicI64);

#[async_trait]
impl Around for SecondFails {
    async fn before(&self, operation: &str) -> Result<(), QueueError> {
        if operation == "receive" && self.0.fetch_add(1, Relaxed) == 1 { Err(failed()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_received_beside_a_request_that_failed_is_given_back() {
    let events = (1..=100).map(|number| battery(number, "drone-1", 0.5));
    let rig = Rig::with(&letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let queue = Watched(&rig.queue, SecondFails(AtomicI64::default()));
    let run = Run { together: 96, ..Run::of(&queue, &store, &trail) };
    assert!(run.replay().await.0.is_err());
    let mut seen = 0;
    while let some @ 1.. = rig.queue.receive(32, HIDDEN).await.expect("received").len() {
        seen += some;
    }
    assert_eq!(seen, 100, "nothing is hidden");
}

/// Lets the time of all that was received pass before the next look.
struct Late<'a>(&'a Rig);

#[async_trait]
impl Around for Late<'_> {
    async fn before(&self, operation: &str) -> Result<(), QueueError> {
        if operation == "receive" {
            self.0.pass(HIDDEN);
        }
        Ok(())
    }
}

/// The oldest are always the first that such a queue shows.
#[tokio::test(start_paused = true)]
async fn a_way_on_which_all_come_back_before_the_next_look_has_an_end() {
    let events = (1..=12).map(|number| event(number, &json!({"battery": 1})));
    let rig = Rig::with(&letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let queue = Watched(&rig.queue, Late(&rig));
    let (swept, tally) = Run::of(&queue, &store, &trail).replay().await;
    assert_eq!((swept.expect("it ends").seen, tally.failed_again, rig.count().await), (4, 4, 12));
    assert!(rig.visible().await.iter().all(|letter| letter.replay.as_ref().is_none_or(|replay| replay.attempts == 1)));
}
