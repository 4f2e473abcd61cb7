//! Replay over a queue: the order of its steps, its rate, and its behavior when a service fails.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use devicestate_dead_letters::{
    Action, AuditError, AuditLine, AuditTrail, AuditWriter, Filter, Outcome, QueueScan, Replay, ReplaySummary,
    Replayer, ScanError, ScanSummary,
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
    read_dead_letter,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::watch, time::Instant};

/// How long received messages are hidden.
pub(crate) const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(1);

/// A clock that the test sets.
pub(crate) struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A queue in a file, with a clock of its own.
pub(crate) struct Rig {
    _folder: TempDir,
    pub(crate) queue: SqliteQueue,
    clock: Arc<ManualClock>,
}

/// Collects the audit lines.
#[derive(Default)]
pub(crate) struct Trail(pub(crate) Mutex<Vec<AuditLine>>);

impl Trail {
    pub(crate) fn lines(&self) -> Vec<AuditLine> {
        self.0.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl AuditTrail for Trail {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        self.0.lock().expect("no panic").extend_from_slice(lines);
        Ok(())
    }

    fn location(&self) -> String {
        "a test".into()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock(AtomicI64::new(NOW)));
        let database = Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a database");
        Self { _folder: folder, queue: SqliteQueue::new(database, Arc::clone(&clock) as _), clock }
    }

    pub(crate) async fn with(letters: &[DeadLetter]) -> Self {
        let rig = Self::new();
        for letter in letters {
            let text = letter.to_json();
            read_dead_letter(&text);
            rig.queue.put(text.as_bytes()).await.expect("put");
        }
        rig
    }

    /// Advances the clock of the queue.
    pub(crate) fn advance(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_millis().try_into().expect("a short time"), Relaxed);
    }

    pub(crate) async fn count(&self) -> u64 {
        self.queue.count().await.expect("counted")
    }

    /// Returns the dead letters that are visible.
    pub(crate) async fn visible(&self) -> Vec<DeadLetter> {
        let messages = self.queue.peek(32).await.expect("peeked");
        messages.iter().map(|message| read_dead_letter(&message.body)).collect()
    }
}

/// Returns a dead letter of each of these events.
pub(crate) fn dead_letters(mut batch: Batch) -> Vec<DeadLetter> {
    let failure = Failure {
        stage: Stage::Update,
        class: ErrorClass::Transient,
        issue: "the store rejected it".into(),
        device_id: None,
        device_state: None,
        other_devices: Vec::new(),
    };
    let attempt = Attempt { invocation_id: "i", number: 1, time_ms: NOW, telemetry: "drone" };
    // As the host sends the positions.
    let positions: Vec<_> = batch.events.iter().map(|event| event.position.expect("a position")).collect();
    let column = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<_> = (0..positions.len()).map(cell).collect();
        devicestate_engine::batch::MetadataColumn::new(format!("[{}]", cells.join(",")), positions.len())
    };
    Arc::get_mut(&mut batch.metadata).expect("not shared").sequence_numbers =
        column(&|index| positions[index].sequence_number.to_string());
    Arc::get_mut(&mut batch.metadata).expect("not shared").enqueued_times = column(&|index| {
        let time = jiff::Timestamp::from_millisecond(positions[index].enqueued_ms).expect("a time");
        format!("\"{}\"", time.strftime("%Y-%m-%dT%H:%M:%S%.3f"))
    });
    (0..batch.events.len()).map(|index| DeadLetter::new(&batch, index, &failure, attempt)).collect()
}

/// A replay of all dead letters of a queue.
pub(crate) struct Run<'a> {
    pub(crate) queue: &'a dyn DeadLetterQueue,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) trail: Arc<dyn AuditTrail>,
    pub(crate) overflow: Option<Arc<dyn Overflow>>,
    pub(crate) chunk_size: usize,
    pub(crate) per_second: Option<u32>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(queue: &'a dyn DeadLetterQueue, store: &Arc<ScriptedStore>, trail: &Arc<Trail>) -> Self {
        let (store, trail) = (Arc::clone(store) as _, Arc::clone(trail) as _);
        Self { queue, store, trail, overflow: None, chunk_size: 4, per_second: None }
    }

    /// Replays every dead letter.
    pub(crate) async fn replay(self) -> (Result<ScanSummary, ScanError>, ReplaySummary) {
        let Self { queue, store, trail, overflow, chunk_size, per_second } = self;
        let engine = Processor { store, ..processor(&Arc::default()) };
        let replayer =
            Replayer { processor: Arc::new(engine), overflow, triggers: Vec::new(), accepts_other_telemetry: false };
        let audit = AuditWriter {
            trail,
            action: Action::Replay,
            operator: "ada".into(),
            queue: queue.name(),
            store: None,
            edit: None,
            clock: Arc::new(StoppedClock),
        };
        let rate_limit = RateLimit::new(per_second);
        let mut replay = Replay {
            replayer: &replayer,
            filter: &Filter::default(),
            edited: None,
            max_replays: 5,
            audit: Some(&audit),
            rate_limit,
            clock: &StoppedClock,
            summary: ReplaySummary::default(),
        };
        let (_stop, stop) = watch::channel(false);
        let scan = QueueScan {
            queue,
            visibility_timeout: VISIBILITY_TIMEOUT,
            chunk_size: rate_limit.batch_size(chunk_size),
            stop,
            progress: &|_| (),
        };
        let (scanned, result) = scan.run(&mut replay).await;
        (result.map(|()| scanned), replay.summary)
    }
}

/// Returns an error of a queue.
pub(crate) fn queue_error() -> QueueError {
    let folder = tempfile::tempdir().expect("a folder");
    let error: DatabaseError =
        Database::open(&folder.path().join("none"), OpenMode::Existing).expect_err("there is no file");
    error.into()
}

/// What a test does before and after each operation of a queue.
#[async_trait]
pub(crate) trait Hooks: Send + Sync {
    async fn before(&self, operation: &str) -> Result<(), QueueError>;

    async fn after(&self, _: &str) -> Result<(), QueueError> {
        Ok(())
    }
}

/// A queue with hooks.
pub(crate) struct HookedQueue<'a, A>(pub(crate) &'a SqliteQueue, pub(crate) A);

#[async_trait]
impl<A: Hooks> DeadLetterQueue for HookedQueue<'_, A> {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn put(&self, body: &[u8]) -> Result<(), QueueError> {
        self.0.put(body).await
    }

    async fn count(&self) -> Result<u64, QueueError> {
        self.0.count().await
    }

    async fn peek(&self, max: usize) -> Result<Vec<Message>, QueueError> {
        self.0.peek(max).await
    }

    async fn receive(&self, max: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        self.1.before("receive").await?;
        let done = self.0.receive(max, hidden).await;
        self.1.after("receive").await.and(done)
    }

    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError> {
        self.1.before("update").await?;
        // If the response is lost, so is the new receipt.
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

/// Checks at each deletion that document and audit lines are stored.
struct DeleteLast(Arc<ScriptedStore>, Arc<Trail>);

#[async_trait]
impl Hooks for DeleteLast {
    async fn before(&self, operation: &str) -> Result<(), QueueError> {
        if operation == "delete" {
            assert!(self.0.document("drone-1").await.is_some(), "the document is written");
            let outcomes: Vec<_> = self.1.lines().iter().map(|line| line.outcome).collect();
            assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied, Outcome::FailedAgain], "and the audit lines are");
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_deletes_a_message_after_writing_its_document_and_audit_line() {
    let events = [battery(1, "drone-1", 0.5), battery(2, "drone-1", 0.25), event(3, &json!({"battery": 1}))];
    let rig = Rig::with(&dead_letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let hooked = HookedQueue(&rig.queue, DeleteLast(Arc::clone(&store), Arc::clone(&trail)));
    let (scanned, summary) = Run::new(&hooked, &store, &trail).replay().await;
    assert_eq!((scanned.expect("it ends").deleted, summary.applied, summary.failed_again), (2, 2, 1));
    let left = rig.visible().await;
    assert_eq!(left.iter().map(|letter| letter.replay.as_ref().expect("a replay").attempts).collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_dead_letter_that_panics_affects_no_other() {
    let events = (1..=6).map(|number| battery(number, &format!("drone-{}", number % 3), 0.5));
    let rig = Rig::with(&dead_letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    store.always(Operation::Write, "drone-1", StoreResponse::Panic);
    let run = Run { chunk_size: 32, ..Run::new(&rig.queue, &store, &trail) };
    let (scanned, summary) = run.replay().await;
    scanned.expect("it ends");
    assert_eq!((summary.applied + summary.superseded, summary.failed_again, rig.count().await), (4, 2, 2));
    for letter in rig.visible().await {
        assert!(letter.last_issue().contains("panic"), "{}", letter.last_issue());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_truncates_issues_that_repeat_the_body() {
    let mode = "x".repeat(20_000);
    let rig = Rig::with(&dead_letters(batch([event(1, &json!({"deviceId": "drone-1", "flightMode": mode}))]))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let (_, summary) = Run::new(&rig.queue, &store, &trail).replay().await;
    let issues = summary.failures.values().map(|group| group.issue.clone());
    let issues: Vec<_> = issues.chain(trail.lines().into_iter().filter_map(|line| line.issue)).collect();
    assert_eq!(issues.len(), 2);
    for issue in issues {
        assert!(issue.contains("flight mode") && issue.len() < 2_000, "{} bytes", issue.len());
    }
}

/// The time of the tokio clock, at each write of the store.
#[tokio::test(start_paused = true)]
async fn a_replay_keeps_its_rate_limit_throughout() {
    const LETTERS: u32 = 35;
    const PER_SECOND: u32 = 10;
    let events = (1..=LETTERS).map(|number| battery(number.into(), &format!("drone-{number}"), 0.5));
    let rig = Rig::with(&dead_letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let started = Instant::now();
    let run = Run { chunk_size: 256, per_second: Some(PER_SECOND), ..Run::new(&rig.queue, &store, &trail) };
    let (scanned, summary) = run.replay().await;
    scanned.expect("it ends");
    assert_eq!((summary.applied, rig.count().await), (LETTERS.into(), 0));
    let writes: Vec<_> = store.requests().into_iter().filter(|asked| asked.operation == Operation::Write).collect();
    let within = |seconds: u64| {
        let until = started + Duration::from_secs(seconds);
        writes.iter().filter(|asked| asked.at < until).count()
    };
    assert_eq!([1, 2, 3, 4].map(within), [10, 20, 30, 35]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_with_the_first_chunk_while_the_store_is_down() {
    let events = (1..=12).map(|number| battery(number, &format!("drone-{number}"), 0.5));
    let rig = Rig::with(&dead_letters(batch(events))).await;
    let before: Vec<_> = rig.visible().await.iter().map(DeadLetter::to_json).collect();
    for answer in [
        StoreResponse::systemic(),
        StoreResponse::throttled(2 * BUDGET),
        StoreResponse::transient(),
        StoreResponse::Stall,
    ] {
        let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
        store.always(Operation::Read, ANY, answer.clone());
        let (scanned, summary) = Run::new(&rig.queue, &store, &trail).replay().await;
        let scanned = scanned.expect("it ends");
        assert_eq!((scanned.received, scanned.deleted, scanned.still_hidden), (4, 0, 0), "{answer:?}");
        assert_eq!((summary.replayed, summary.reason.is_some()), (0, true), "{answer:?}");
        assert_eq!(trail.lines(), [], "{answer:?}");
        let visible: Vec<_> = rig.visible().await.iter().map(DeadLetter::to_json).collect();
        assert_eq!(visible, before, "{answer:?}");
    }
}

/// Fails the second of several concurrent receives.
struct SecondFails(AtomicI64);

#[async_trait]
impl Hooks for SecondFails {
    async fn before(&self, operation: &str) -> Result<(), QueueError> {
        if operation == "receive" && self.0.fetch_add(1, Relaxed) == 1 { Err(queue_error()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_other_receives_are_released_when_one_fails() {
    let events = (1..=100).map(|number| battery(number, "drone-1", 0.5));
    let rig = Rig::with(&dead_letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let queue = HookedQueue(&rig.queue, SecondFails(AtomicI64::default()));
    let run = Run { chunk_size: 96, ..Run::new(&queue, &store, &trail) };
    assert!(run.replay().await.0.is_err());
    let mut received = 0;
    while let some @ 1.. = rig.queue.receive(32, VISIBILITY_TIMEOUT).await.expect("received").len() {
        received += some;
    }
    assert_eq!(received, 100, "every message is visible");
}
