//! A replay is interrupted at each of its operations in turn and repeated: nothing is lost, nothing is applied twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use devicestate_dead_letters::{AuditError, AuditLine, AuditTrail, Outcome};
use devicestate_engine::{
    batch::Event,
    dead_letter::{DeadLetter, Directory, Overflow, OverflowError},
    device_state::Document,
    queue::QueueError,
    store::{ETag, Page, RequestCharge, Selection, StateStore, StoreError, Stored},
};
use devicestate_test_doubles::{ScriptedStore, altitude, batch, battery, event, read_dead_letter};
use serde_json::{json, value::RawValue};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::replaying::{HookedQueue, Hooks, Rig, Run, Trail, VISIBILITY_TIMEOUT, dead_letters, queue_error};

/// How a run is cut off at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CutOff {
    /// The process is killed before the operation.
    KilledBefore,
    /// The process is killed after the operation.
    KilledAfter,
    /// It fails, and so do all later operations.
    AllFail,
    /// It fails, and later operations succeed.
    OneFails,
    /// It succeeds, but its response is lost.
    ResponseLost,
}

/// Counts the operations of all parts until the one that is cut off.
struct Countdown {
    cut_off: CutOff,
    left: AtomicUsize,
    killed: Notify,
}

/// An operation that fails.
struct Failed;

impl Countdown {
    async fn before(&self) -> Result<bool, Failed> {
        let left = self.left.load(Relaxed);
        let is_target = left == 1;
        if left > 0 {
            self.left.store(left - 1, Relaxed);
        }
        match self.cut_off {
            CutOff::KilledBefore if is_target => self.kill().await,
            CutOff::AllFail if left <= 1 => Err(Failed),
            CutOff::OneFails if is_target => Err(Failed),
            _ => Ok(is_target),
        }
    }

    async fn after(&self, is_target: bool) -> Result<(), Failed> {
        match self.cut_off {
            CutOff::KilledAfter if is_target => self.kill().await,
            CutOff::ResponseLost if is_target => Err(Failed),
            _ => Ok(()),
        }
    }

    /// Never returns: the run is dropped.
    async fn kill<T>(&self) -> T {
        self.killed.notify_one();
        pending().await
    }

    fn was_reached(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    async fn around<T, E>(
        &self,
        error: impl Fn() -> E,
        operation: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let is_target = self.before().await.map_err(|Failed| error())?;
        let done = operation.await;
        self.after(is_target).await.map_err(|Failed| error())?;
        done
    }
}

/// A part of the system whose operations are counted.
struct Counted<T>(Arc<Countdown>, T);

#[async_trait]
impl StateStore for Counted<Arc<ScriptedStore>> {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        self.0.around(unreachable_store, self.1.read(id, charge)).await
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        self.0.around(unreachable_store, self.1.create(document, charge)).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        self.0.around(unreachable_store, self.1.replace(document, if_match, charge)).await
    }

    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError> {
        self.1.list(selection, charge).await
    }
}

fn unreachable_store() -> StoreError {
    StoreError::Transient("the connection was cut".into())
}

#[async_trait]
impl AuditTrail for Counted<Arc<Trail>> {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        if lines.is_empty() {
            return Ok(());
        }
        let error = || AuditError::File { path: "audit".into(), error: io::Error::other("the disk is full") };
        self.0.around(error, self.1.append(lines)).await
    }

    fn location(&self) -> String {
        self.1.location()
    }
}

#[async_trait]
impl Overflow for Counted<Directory> {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let error =
            || OverflowError::FileWriteFailed { path: name.into(), error: io::Error::other("the disk is full") };
        self.0.around(error, self.1.put(name, bytes)).await
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        let error =
            || OverflowError::FileReadFailed { path: location.into(), error: io::Error::other("the disk is broken") };
        self.0.around(error, self.1.get(location)).await
    }
}

/// The queue's part: its operations come through [`HookedQueue`], one by one.
struct QueueHooks(Arc<Countdown>, AtomicUsize);

#[async_trait]
impl Hooks for QueueHooks {
    async fn before(&self, _: &str) -> Result<(), QueueError> {
        match self.0.before().await {
            Ok(is_target) => {
                self.1.fetch_add(usize::from(is_target), Relaxed);
                Ok(())
            }
            Err(Failed) => Err(queue_error()),
        }
    }

    async fn after(&self, _: &str) -> Result<(), QueueError> {
        // The first call after the target suffices: the queue does nothing between the two.
        let is_target = self.1.swap(0, Relaxed) > 0;
        self.0.after(is_target).await.map_err(|Failed| queue_error())
    }
}

/// Three devices with new and old readings in turn; the last event cannot be applied.
fn events() -> Vec<Event> {
    let mut events: Vec<_> = (1..=8)
        .map(|number| {
            let (device, value) = (format!("drone-{}", number % 3), f64::from(i32::try_from(number).expect("small")));
            if number % 2 == 0 { battery(number, &device, value) } else { altitude(number, &device, value) }
        })
        .collect();
    events.push(event(9, &json!({"battery": 0.5})));
    events
}

/// Returns the documents after a run without faults.
async fn documents_without_faults() -> BTreeMap<String, Document> {
    let store = Arc::<ScriptedStore>::default();
    devicestate_test_doubles::processor(&store).process(&batch(events())).await;
    documents(&store).await
}

async fn documents(store: &ScriptedStore) -> BTreeMap<String, Document> {
    let page = store.list(Selection::every(None, 100), &RequestCharge::default()).await.expect("documents");
    page.documents.into_iter().map(|document| (document.id.clone(), document)).collect()
}

/// Returns dead letters of the events. The first one is stored in the overflow.
async fn prepare_dead_letters() -> (TempDir, Directory, Vec<DeadLetter>) {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory(folder.path().join("dead-letters"));
    let mut letters = dead_letters(batch(events()));
    // Too large for a message.
    let properties = format!(r#"{{"note":"{}"}}"#, "x".repeat(50_000));
    letters[0].event_data.properties = Some(RawValue::from_string(properties).expect("JSON"));
    let pointer = letters[0].store_in(&directory).await.expect("kept");
    letters[0] = read_dead_letter(letters[0].message_with_pointer(pointer));
    (folder, directory, letters)
}

/// Runs a replay that is cut off at this operation, and repeats it. Returns whether it has such an operation.
async fn run_cut_off(cut_off: CutOff, operation: usize, expected: &BTreeMap<String, Document>) -> bool {
    let (_folder, directory, letters) = prepare_dead_letters().await;
    let rig = Rig::with(&letters).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let countdown = Arc::new(Countdown { cut_off, left: AtomicUsize::new(operation), killed: Notify::new() });
    let hooked = HookedQueue(&rig.queue, QueueHooks(Arc::clone(&countdown), AtomicUsize::default()));
    let run = Run {
        store: Arc::new(Counted(Arc::clone(&countdown), Arc::clone(&store))),
        trail: Arc::new(Counted(Arc::clone(&countdown), Arc::clone(&trail))),
        overflow: Some(Arc::new(Counted(Arc::clone(&countdown), directory.clone()))),
        ..Run::new(&hooked, &store, &trail)
    };
    tokio::select! {
        biased;
        () = countdown.killed.notified() => {}
        _ = run.replay() => {}
    }
    let was_reached = countdown.was_reached();
    let context = format!("{cut_off:?} at operation {operation}");
    // Every deleted message has its audit line.
    rig.advance(VISIBILITY_TIMEOUT);
    let left: BTreeSet<_> = rig.visible().await.into_iter().map(|letter| letter.id).collect();
    for letter in letters.iter().filter(|letter| !left.contains(&letter.id)) {
        assert!(is_recorded(&trail, letter), "{context}: {} was deleted without an audit line", letter.id);
    }
    let repeated = Run { overflow: Some(Arc::new(directory)), ..Run::new(&rig.queue, &store, &trail) };
    let (scanned, summary) = repeated.replay().await;
    scanned.expect("it ends");
    assert_eq!((summary.reason, summary.failed_again), (None, 1), "{context}");
    assert_eq!(&documents(&store).await, expected, "{context}");
    let left = rig.visible().await;
    assert_eq!((left.len(), rig.count().await), (1, 1), "{context}: only the invalid event is left");
    assert_eq!(left[0].id, letters[8].id, "{context}");
    let attempts = left[0].replay.as_ref().map(|replay| replay.attempts);
    assert!(matches!(attempts, Some(1 | 2)), "{context}: {attempts:?}");
    for letter in &letters[..8] {
        assert!(is_recorded(&trail, letter), "{context}: {} has an audit line", letter.id);
    }
    was_reached
}

fn is_recorded(trail: &Trail, letter: &DeadLetter) -> bool {
    let is_done = |line: &AuditLine| matches!(line.outcome, Outcome::Applied | Outcome::Superseded);
    trail.lines().iter().any(|line| line.id.as_ref() == Some(&letter.id) && is_done(line))
}

async fn cut_off_at_each_operation(cut_off: CutOff) {
    let expected = documents_without_faults().await;
    let mut operation = 1;
    while run_cut_off(cut_off, operation, &expected).await {
        operation += 1;
    }
    assert!(operation > 20, "{operation} operations");
}

#[tokio::test(start_paused = true)]
async fn a_replay_killed_before_any_operation_can_be_repeated() {
    cut_off_at_each_operation(CutOff::KilledBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_killed_after_any_operation_can_be_repeated() {
    cut_off_at_each_operation(CutOff::KilledAfter).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_loses_all_services_at_any_operation_can_be_repeated() {
    cut_off_at_each_operation(CutOff::AllFail).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_in_which_any_operation_fails_can_be_repeated() {
    cut_off_at_each_operation(CutOff::OneFails).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_loses_any_response_can_be_repeated() {
    cut_off_at_each_operation(CutOff::ResponseLost).await;
}
