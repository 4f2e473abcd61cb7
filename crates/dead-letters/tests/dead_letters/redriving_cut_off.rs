//! A replay that ends at each of its operations in turn, and is run again: nothing is lost, nothing is there twice.

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
use devicestate_dead_letters::{Audit, AuditError, AuditLine, Outcome};
use devicestate_engine::{
    batch::Event,
    dead_letter::{DeadLetter, Directory, Overflow, OverflowError},
    device_state::Document,
    queue::QueueError,
    store::{ETag, RequestCharge, StateStore, StoreError, Stored},
};
use devicestate_test_doubles::{ScriptedStore, altitude, batch, battery, event};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::redriving::{Around, HIDDEN, Rig, Run, Trail, Watched, failed, letters};

/// How an operation is the last, or the one that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The process is killed before it.
    KilledBefore,
    /// The process is killed behind it.
    KilledBehind,
    /// It fails, and so do all that follow: the network is gone.
    Gone,
    /// It fails, and the next does not.
    Fails,
    /// It is done, and the answer is lost.
    AnswerLost,
}

/// Counts operations, of whatever part, until the one that matters.
struct Fate {
    end: End,
    left: AtomicUsize,
    killed: Notify,
}

/// An operation that fails.
struct Failed;

impl Fate {
    async fn before(&self) -> Result<bool, Failed> {
        let left = self.left.load(Relaxed);
        let is_it = left == 1;
        if left > 0 {
            self.left.store(left - 1, Relaxed);
        }
        match self.end {
            End::KilledBefore if is_it => self.kill().await,
            End::Gone if left <= 1 => Err(Failed),
            End::Fails if is_it => Err(Failed),
            _ => Ok(is_it),
        }
    }

    async fn after(&self, is_it: bool) -> Result<(), Failed> {
        match self.end {
            End::KilledBehind if is_it => self.kill().await,
            End::AnswerLost if is_it => Err(Failed),
            _ => Ok(()),
        }
    }

    /// Nothing goes on after this: the run is dropped.
    async fn kill<T>(&self) -> T {
        self.killed.notify_one();
        pending().await
    }

    fn was_met(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    async fn around<T, E>(
        &self,
        error: impl Fn() -> E,
        operation: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let is_it = self.before().await.map_err(|Failed| error())?;
        let done = operation.await;
        self.after(is_it).await.map_err(|Failed| error())?;
        done
    }
}

struct Mortal<T>(Arc<Fate>, T);

#[async_trait]
impl StateStore for Mortal<Arc<ScriptedStore>> {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        self.0.around(unreachable_store, self.1.read(id, charge)).await
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        self.0.around(unreachable_store, self.1.create(document, charge)).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        self.0.around(unreachable_store, self.1.replace(document, if_match, charge)).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        self.1.list(after, limit).await
    }
}

fn unreachable_store() -> StoreError {
    StoreError::Transient("the connection was cut".into())
}

#[async_trait]
impl Audit for Mortal<Arc<Trail>> {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        if lines.is_empty() {
            return Ok(());
        }
        let error = || AuditError::File { path: "audit".into(), error: io::Error::other("the disk is full") };
        self.0.around(error, self.1.append(lines)).await
    }

    fn place(&self) -> String {
        self.1.place()
    }
}

#[async_trait]
impl Overflow for Mortal<Directory> {
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

/// The queue's part: its operations come through [`Watched`], one by one.
struct OfTheQueue(Arc<Fate>, AtomicUsize);

#[async_trait]
impl Around for OfTheQueue {
    async fn before(&self, _: &str) -> Result<(), QueueError> {
        match self.0.before().await {
            Ok(is_it) => {
                self.1.fetch_add(usize::from(is_it), Relaxed);
                Ok(())
            }
            Err(Failed) => Err(failed()),
        }
    }

    async fn after(&self, _: &str) -> Result<(), QueueError> {
        // The first to come here after the one that matters is as good: nothing of this queue's is done in between.
        let is_it = self.1.swap(0, Relaxed) > 0;
        self.0.after(is_it).await.map_err(|Failed| failed())
    }
}

/// Three devices with news and old readings in turn; the last cannot be applied.
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

/// The documents of an undisturbed run, without the dead letters.
async fn undisturbed() -> BTreeMap<String, Document> {
    let store = Arc::<ScriptedStore>::default();
    devicestate_test_doubles::processor(&store).process(&batch(events())).await;
    documents(&store).await
}

async fn documents(store: &ScriptedStore) -> BTreeMap<String, Document> {
    let documents = store.list(None, 100).await.expect("documents");
    documents.into_iter().map(|document| (document.id.clone(), document)).collect()
}

/// The dead letters, the first of which lies in a folder.
async fn prepared() -> (TempDir, Directory, Vec<DeadLetter>) {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory(folder.path().join("dead-letters"));
    let mut letters = letters(batch(events()));
    let pointer = letters[0].store_in(&directory).await.expect("kept");
    letters[0] = serde_json::from_str(&letters[0].message_with_pointer(pointer)).expect("a dead letter");
    (folder, directory, letters)
}

/// Runs a replay that ends so at this operation, and another after it. False when it has no such operation.
async fn cut_off(end: End, operation: usize, expected: &BTreeMap<String, Document>) -> bool {
    let (_folder, directory, letters) = prepared().await;
    let rig = Rig::with(&letters).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let fate = Arc::new(Fate { end, left: AtomicUsize::new(operation), killed: Notify::new() });
    let mortal = Watched(&rig.queue, OfTheQueue(Arc::clone(&fate), AtomicUsize::default()));
    let run = Run {
        store: Arc::new(Mortal(Arc::clone(&fate), Arc::clone(&store))),
        trail: Arc::new(Mortal(Arc::clone(&fate), Arc::clone(&trail))),
        overflow: Some(Arc::new(Mortal(Arc::clone(&fate), directory.clone()))),
        ..Run::of(&mortal, &store, &trail)
    };
    tokio::select! {
        biased;
        () = fate.killed.notified() => {}
        _ = run.replay() => {}
    }
    let was_met = fate.was_met();
    let what = format!("{end:?} at operation {operation}");
    // What is gone by now has its line and is in its document.
    rig.pass(HIDDEN);
    let left: BTreeSet<_> = rig.visible().await.into_iter().map(|letter| letter.id).collect();
    for letter in letters.iter().filter(|letter| !left.contains(&letter.id)) {
        assert!(is_told(&trail, letter), "{what}: {} is gone without a line", letter.id);
    }
    let again = Run { overflow: Some(Arc::new(directory)), ..Run::of(&rig.queue, &store, &trail) };
    let (swept, tally) = again.replay().await;
    swept.expect("it ends");
    assert_eq!((tally.not_now, tally.failed_again), (None, 1), "{what}");
    assert_eq!(&documents(&store).await, expected, "{what}");
    let left = rig.visible().await;
    assert_eq!((left.len(), rig.count().await), (1, 1), "{what}: only the one that cannot be applied");
    assert_eq!(left[0].id, letters[8].id, "{what}");
    let attempts = left[0].replay.as_ref().map(|replay| replay.attempts);
    assert!(matches!(attempts, Some(1 | 2)), "{what}: {attempts:?}");
    for letter in &letters[..8] {
        assert!(is_told(&trail, letter), "{what}: {} has a line", letter.id);
    }
    was_met
}

fn is_told(trail: &Trail, letter: &DeadLetter) -> bool {
    let is_done = |line: &AuditLine| matches!(line.outcome, Outcome::Applied | Outcome::Superseded);
    trail.lines().iter().any(|line| line.id.as_ref() == Some(&letter.id) && is_done(line))
}

async fn each_operation_in_turn(end: End) {
    let expected = undisturbed().await;
    let mut operation = 1;
    while cut_off(end, operation, &expected).await {
        operation += 1;
    }
    assert!(operation > 20, "{operation} operations");
}

#[tokio::test(start_paused = true)]
async fn a_replay_killed_before_any_operation_and_run_again_does_it_all_once() {
    each_operation_in_turn(End::KilledBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_killed_behind_any_operation_and_run_again_does_it_all_once() {
    each_operation_in_turn(End::KilledBehind).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_from_which_all_is_gone_at_any_operation_and_that_is_run_again_does_it_all_once() {
    each_operation_in_turn(End::Gone).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_in_which_any_operation_fails_and_that_is_run_again_does_it_all_once() {
    each_operation_in_turn(End::Fails).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_in_which_any_answer_is_lost_and_that_is_run_again_does_it_all_once() {
    each_operation_in_turn(End::AnswerLost).await;
}
