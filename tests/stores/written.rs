//! Which documents were written in a range of time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use devicestate_engine::{
    clock::Clock,
    device_state::Document,
    store::{Filter, MemoryStore, RequestCharge, StateStore, Written, WrittenRange},
};
use devicestate_sqlite::{Database, OpenMode, SqliteStore};
use devicestate_test_doubles::{document, version};
use rusqlite::Connection;
use serde_json::json;

use super::kinds::{NamedStore, for_each_store, open};

for_each_store![
    written_documents_are_returned_in_the_order_of_their_writes,
    a_document_that_is_written_again_is_returned_once_with_its_newest_state,
    ranges_of_time_return_each_document_once,
];

fn drone(id: &str, battery: f64) -> Document {
    document(id, version(7), &json!({ "battery": battery }))
}

async fn create(store: &dyn StateStore, id: &str) {
    store.create(&drone(id, 0.5), &RequestCharge::default()).await.expect("a creation");
}

async fn written(store: &dyn StateStore, filter: &Filter, after_ms: i64, until_ms: i64, limit: usize) -> Vec<Written> {
    let range = WrittenRange { filter, after_ms, until_ms, limit };
    let written = store.written(range, &RequestCharge::default()).await.expect("a range");
    assert!(written.is_sorted_by_key(|written| written.written_ms), "{written:?}");
    assert!(written.iter().all(|it| (after_ms + 1..=until_ms).contains(&it.written_ms)), "{written:?}");
    written
}

async fn every_written(store: &dyn StateStore, after_ms: i64) -> Vec<Written> {
    written(store, &Filter::EVERY, after_ms, i64::MAX, 1_000).await
}

fn ids(written: &[Written]) -> Vec<&str> {
    written.iter().map(|written| written.stored.document.id.as_str()).collect()
}

async fn written_documents_are_returned_in_the_order_of_their_writes((name, store): NamedStore) {
    assert_eq!(every_written(&*store, 0).await, [], "{name}");
    for id in ["c", "a", "b"] {
        create(&*store, id).await;
    }
    let all = every_written(&*store, 0).await;
    let mut sorted = ids(&all);
    sorted.sort_unstable();
    assert_eq!(sorted, ["a", "b", "c"], "{name}");
    for Written { stored, .. } in &all {
        let read = store.read(&stored.document.id, &RequestCharge::default()).await.expect("a read");
        assert_eq!(read.as_ref(), Some(stored), "{name}: with its tag");
    }
    let (first, last) = (all[0].written_ms, all[2].written_ms);
    assert_eq!(written(&*store, &Filter::EVERY, first - 1, last, 10).await, all, "{name}");
    assert_eq!(written(&*store, &Filter::EVERY, 0, first - 1, 10).await, [], "{name}");
    assert_eq!(every_written(&*store, last).await, [], "{name}");
    let only_b = written(&*store, &Filter::Device("b".into()), 0, i64::MAX, 10).await;
    assert_eq!(ids(&only_b), ["b"], "{name}");
}

async fn a_document_that_is_written_again_is_returned_once_with_its_newest_state((name, store): NamedStore) {
    for id in ["a", "b"] {
        create(&*store, id).await;
    }
    let before = every_written(&*store, 0).await;
    let stored = store.read("a", &RequestCharge::default()).await.expect("a read").expect("a document");
    let etag = store.replace(&drone("a", 0.7), &stored.etag, &RequestCharge::default()).await.expect("a replacement");
    let after = every_written(&*store, before[0].written_ms - 1).await;
    let mut written: Vec<_> = after.iter().map(|written| &written.stored).collect();
    written.sort_unstable_by_key(|stored| &stored.document.id);
    assert_eq!((written.len(), &written[0].etag), (2, &etag), "{name}");
    assert_eq!(written[0].document, drone("a", 0.7), "{name}");
}

async fn ranges_of_time_return_each_document_once((name, store): NamedStore) {
    const DOCUMENTS: usize = 30;
    for n in 0..DOCUMENTS {
        create(&*store, &format!("d{n}")).await;
    }
    for limit in [1, 7, DOCUMENTS, 1_000] {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let range = written(&*store, &Filter::EVERY, after, i64::MAX, limit).await;
            let Some(last) = range.last() else { break };
            assert!(range.len() >= limit || all.len() + range.len() == DOCUMENTS, "{name}: {limit}");
            after = last.written_ms;
            all.extend(range.into_iter().map(|written| written.stored.document.id));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), DOCUMENTS, "{name}: {limit}");
    }
}

/// A clock that a test sets.
#[derive(Default)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

fn manual_clock(now_ms: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock(AtomicI64::new(now_ms)))
}

/// The newest writes are in a range, and who continues at the settled time misses none, whichever moment the ranges are read at.
async fn assert_no_write_is_missed(store: &dyn StateStore, clock: &ManualClock, settling_ms: i64) {
    create(store, "a").await;
    create(store, "b").await;
    assert_eq!(ids(&every_written(store, 0).await), ["a", "b"], "the newest");
    assert!(store.settled_ms() < 1_000, "a write of this time may follow");
    create(store, "c").await;
    clock.0.store(1_000 + settling_ms, Relaxed);
    create(store, "d").await;
    let range = every_written(store, 0).await;
    assert_eq!((ids(&range), range[2].written_ms, store.settled_ms()), (vec!["a", "b", "c", "d"], 1_000, 1_000));
    // The clock is set back: the write is not earlier than those that were read.
    clock.0.store(10, Relaxed);
    create(store, "e").await;
    clock.0.store(9_000, Relaxed);
    let range = every_written(store, 1_000).await;
    assert_eq!(ids(&range), ["d", "e"]);
    assert_eq!(range[1].written_ms, 1_000 + settling_ms);
}

#[tokio::test]
async fn no_write_in_memory_is_missed_by_who_continues_at_the_settled_time() {
    let clock = manual_clock(1_000);
    let store = MemoryStore::with_clock(Arc::clone(&clock) as _);
    assert_no_write_is_missed(&store, &clock, 1).await;
}

#[tokio::test]
async fn no_write_in_a_state_file_is_missed_by_who_continues_at_the_settled_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = manual_clock(1_000);
    let store = SqliteStore::with_clock(open(&folder.path().join("state.db")), Arc::clone(&clock) as _);
    assert_no_write_is_missed(&store, &clock, 500).await;
}

#[tokio::test]
async fn documents_of_one_time_are_in_one_range() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = manual_clock(1_000);
    let store = SqliteStore::with_clock(open(&folder.path().join("state.db")), Arc::clone(&clock) as _);
    // More than are read in one operation.
    for n in 0..1_200 {
        if n == 1_100 {
            clock.0.store(2_000, Relaxed);
        }
        create(&store, &format!("d{n:04}")).await;
    }
    clock.0.store(9_000, Relaxed);
    let first = written(&store, &Filter::EVERY, 0, i64::MAX, 10).await;
    assert_eq!((first.len(), ids(&first)[1_099]), (1_100, "d1099"));
    assert_eq!(every_written(&store, 1_000).await.len(), 100);
}

/// Creates a state file as an earlier version did.
fn file_of_an_earlier_version(path: &std::path::Path, version: i32) -> Connection {
    let connection = Connection::open(path).expect("a file");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x44765374;
             CREATE TABLE documents (id TEXT PRIMARY KEY, etag TEXT NOT NULL, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
             CREATE TABLE dead_letters (
                 message_id INTEGER PRIMARY KEY AUTOINCREMENT, inserted_ms INTEGER NOT NULL, text BLOB NOT NULL,
                 visible_ms INTEGER NOT NULL DEFAULT 0, dequeue_count INTEGER NOT NULL DEFAULT 0,
                 receipt INTEGER NOT NULL DEFAULT 0) STRICT;
             CREATE INDEX dead_letters_by_visibility ON dead_letters (visible_ms);",
        )
        .expect("tables");
    connection.pragma_update(None, "user_version", version).expect("a version");
    insert(&connection, "old-1");
    insert(&connection, "old-2");
    connection
}

/// Writes a document as an earlier version does.
fn insert(connection: &Connection, id: &str) {
    let text = serde_json::to_string(&drone(id, 0.5)).expect("JSON");
    let insert = "INSERT INTO documents (id, etag, document) VALUES (?, 'tag', ?) ON CONFLICT DO NOTHING";
    assert_eq!(connection.execute(insert, [id, &text]), Ok(1));
}

#[tokio::test]
async fn a_process_of_an_earlier_version_keeps_working_in_a_file_that_gets_the_times_of_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let earlier = file_of_an_earlier_version(&path, 1);
    let clock = manual_clock(1_000_000_000);
    let store = SqliteStore::with_clock(open(&path), Arc::clone(&clock) as _);
    insert(&earlier, "old-3");
    let update = "UPDATE documents SET etag = 'new', document = document WHERE id = 'old-1' AND etag = 'tag'";
    assert_eq!(earlier.execute(update, []), Ok(1));
    create(&store, "new").await;
    clock.0.fetch_add(1_000, Relaxed);
    let all = every_written(&store, 0).await;
    let mut sorted = ids(&all);
    assert_eq!((sorted[3], all[3].written_ms), ("new", 1_000_000_000));
    sorted.sort_unstable();
    assert_eq!(sorted, ["new", "old-1", "old-2", "old-3"], "those without a time count as written long ago");
    assert_ne!(all[0].written_ms, all[1].written_ms, "and not at the same time");
    let version = earlier.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0));
    assert_eq!(version, Ok(2));
}

#[tokio::test]
async fn a_file_of_an_earlier_version_that_is_only_read_is_listed_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let earlier = file_of_an_earlier_version(&path, 1);
    let store = SqliteStore::new(Database::open(&path, OpenMode::ReadOnly).expect("a database"));
    assert_eq!(store.count(&Filter::EVERY, &RequestCharge::default()).await, Ok(2));
    assert_eq!(every_written(&store, 0).await.len(), 2);
    let version = earlier.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0));
    assert_eq!(version, Ok(1));
}
