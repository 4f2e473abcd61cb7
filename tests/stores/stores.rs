//! What every store must keep to, and what SQLite's file adds.

use std::{path::Path, sync::Arc, time::Duration};

use devicestate::config::StoreConfig;
use devicestate_azure::CosmosStore;
use devicestate_engine::{
    device_state::Document,
    settings::Settings,
    store::{ETag, MemoryStore, RequestCharge, StateStore, StoreError, Stored},
};
use devicestate_sqlite::{Database, OpenMode, SqliteStore};
use devicestate_test_doubles::{document, version};
use devicestate_test_support::listener::Listener;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

/// A store, and what it is called.
type Named = (&'static str, Arc<dyn StateStore>);

/// Each of these tests on each kind of store, empty. What needs an account is of the tier `just test-azure`.
macro_rules! on_each_store {
    ($($test:ident),+ $(,)?) => {
        mod in_memory {
            $(
                #[tokio::test]
                async fn $test() { super::$test(("memory", std::sync::Arc::new(super::MemoryStore::default()))).await; }
            )+
        }
        mod in_a_state_file {
            $(
                #[tokio::test]
                async fn $test() {
                    let folder = super::TempDir::new().expect("a folder");
                    let store = super::SqliteStore::new(super::open(&folder.path().join("state.db")));
                    super::$test(("sqlite", std::sync::Arc::new(store))).await;
                }
            )+
        }
        mod in_an_account {
            $(
                #[tokio::test]
                #[ignore = "just test-azure"]
                async fn $test() {
                    let listener = super::Listener::start();
                    super::$test(("cosmos", std::sync::Arc::new(super::cosmos(&listener)))).await;
                }
            )+
        }
    };
}

on_each_store![
    what_is_created_can_be_read_and_what_is_not_cannot,
    what_is_there_is_not_created_again,
    only_what_is_unchanged_is_replaced,
    what_is_not_there_is_not_replaced_and_a_tag_is_good_for_one_document,
    of_writers_at_the_same_time_one_wins_each_round,
    documents_are_listed_in_the_order_of_their_ids_page_by_page,
];

fn cosmos(listener: &Listener) -> CosmosStore {
    let mut settings = Settings::default();
    settings.set("StateStore", "cosmos");
    settings.set("CosmosConnection", listener.connection_string());
    match StoreConfig::from_settings(&settings) {
        Ok(StoreConfig::Cosmos(config)) => CosmosStore::new(config),
        other => panic!("no Cosmos DB: {other:?}"),
    }
}

fn open(path: &Path) -> Database {
    Database::open(path, OpenMode::Create).expect("a database")
}

fn drone(id: &str, battery: f64) -> Document {
    document(id, version(7), &json!({"Battery": battery, "Note": "ünï\u{10348}"}))
}

/// What it costs is not looked at here.
fn free() -> RequestCharge {
    RequestCharge::default()
}

async fn stored(store: &dyn StateStore, id: &str) -> Stored {
    store.read(id, &free()).await.expect("a read").expect("a document")
}

async fn what_is_created_can_be_read_and_what_is_not_cannot((name, store): Named) {
    assert_eq!(store.read("drone-1", &free()).await, Ok(None), "{name}");
    let etag = store.create(&drone("drone-1", 0.5), &free()).await.expect("a creation");
    let expected = Stored { document: drone("drone-1", 0.5), etag };
    assert_eq!(store.read("drone-1", &free()).await, Ok(Some(expected)), "{name}");
    assert_eq!(store.read("Drone-1", &free()).await, Ok(None), "{name}: ids are as they are");
    assert_eq!(store.read("drone-1 ", &free()).await, Ok(None), "{name}");
}

async fn what_is_there_is_not_created_again((name, store): Named) {
    let etag = store.create(&drone("d", 0.5), &free()).await.expect("a creation");
    assert_eq!(store.create(&drone("d", 0.9), &free()).await, Err(StoreError::Conflict), "{name}");
    assert_eq!(stored(&*store, "d").await, Stored { document: drone("d", 0.5), etag }, "{name}");
}

async fn only_what_is_unchanged_is_replaced((name, store): Named) {
    let first = store.create(&drone("d", 0.1), &free()).await.expect("a creation");
    let second = store.replace(&drone("d", 0.2), &first, &free()).await.expect("a replacement");
    assert_ne!(first, second, "{name}");
    assert_eq!(store.replace(&drone("d", 0.3), &first, &free()).await, Err(StoreError::Conflict), "{name}");
    assert_eq!(stored(&*store, "d").await, Stored { document: drone("d", 0.2), etag: second.clone() }, "{name}");
    // The same document again is a write like any other.
    let third = store.replace(&drone("d", 0.2), &second, &free()).await.expect("a replacement");
    assert_ne!(second, third, "{name}");
    assert_eq!(stored(&*store, "d").await.etag, third, "{name}");
    let no_tag = ETag("no such tag".into());
    assert_eq!(store.replace(&drone("d", 0.4), &no_tag, &free()).await, Err(StoreError::Conflict), "{name}");
}

async fn what_is_not_there_is_not_replaced_and_a_tag_is_good_for_one_document((name, store): Named) {
    let etag = store.create(&drone("a", 0.1), &free()).await.expect("a creation");
    assert_eq!(store.replace(&drone("b", 0.2), &etag, &free()).await, Err(StoreError::Conflict), "{name}");
    assert_eq!(store.read("b", &free()).await, Ok(None), "{name}");
    store.create(&drone("b", 0.2), &free()).await.expect("a creation");
    assert_eq!(store.replace(&drone("b", 0.3), &etag, &free()).await, Err(StoreError::Conflict), "{name}");
}

async fn of_writers_at_the_same_time_one_wins_each_round((name, store): Named) {
    let mut etag = store.create(&drone("d", 0.0), &free()).await.expect("a creation");
    for round in 0..20 {
        let writers = (0..8).map(|writer| {
            let (store, etag, battery) = (Arc::clone(&store), etag.clone(), f64::from(round * 10 + writer));
            tokio::spawn(async move { store.replace(&drone("d", battery), &etag, &free()).await })
        });
        let mut won = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.expect("no panic") {
                Ok(etag) => won.push(etag),
                Err(error) => assert_eq!(error, StoreError::Conflict, "{name}"),
            }
        }
        assert_eq!(won.len(), 1, "{name}");
        etag = won.remove(0);
        assert_eq!(stored(&*store, "d").await.etag, etag, "{name}");
    }
}

async fn documents_are_listed_in_the_order_of_their_ids_page_by_page((name, store): Named) {
    assert_eq!(store.list(None, 10).await, Ok(vec![]), "{name}");
    for id in ["b", "ä", "a", "Z", "c", "a%2F1"] {
        store.create(&drone(id, 0.5), &free()).await.expect("a creation");
    }
    let (mut pages, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.list(after.as_deref(), 4).await.expect("a page");
        let ids: Vec<_> = page.into_iter().map(|document| document.id).collect();
        let Some(last) = ids.last() else { break };
        after = Some(last.clone());
        pages.push(ids);
    }
    assert_eq!(pages, [vec!["Z", "a", "a%2F1", "b"], vec!["c", "ä"]], "{name}");
    assert_eq!(store.list(Some("bb"), 1).await.expect("a page")[0].id, "c", "{name}: from behind an id not there");
    assert_eq!(store.list(None, usize::MAX).await.expect("a page").len(), 6, "{name}");
}

/// A file with a store, and a second connection to it, as another program would have it.
fn shared_file() -> (TempDir, Database, Connection) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let database = open(&path);
    let other = Connection::open(&path).expect("a connection");
    (folder, database, other)
}

#[tokio::test]
async fn a_tag_does_not_come_again_with_a_document_that_was_deleted_and_made_anew() {
    let (_folder, database, other) = shared_file();
    let store = SqliteStore::new(database);
    let before = store.create(&drone("d", 0.5), &free()).await.expect("a creation");
    assert_eq!(other.execute("DELETE FROM documents WHERE id = 'd'", []), Ok(1));
    assert_eq!(store.replace(&drone("d", 0.6), &before, &free()).await, Err(StoreError::Conflict), "it is gone");
    let after = store.create(&drone("d", 0.5), &free()).await.expect("a creation");
    assert_ne!(before, after);
    assert_eq!(store.replace(&drone("d", 0.6), &before, &free()).await, Err(StoreError::Conflict));
    assert_eq!(stored(&store, "d").await, Stored { document: drone("d", 0.5), etag: after });
}

#[tokio::test]
async fn a_stored_document_that_cannot_be_understood_is_rejected_by_name() {
    let (_folder, database, other) = shared_file();
    let store = SqliteStore::new(database);
    store.create(&drone("good", 0.5), &free()).await.expect("a creation");
    store.create(&drone("bad-7", 0.5), &free()).await.expect("a creation");
    for text in ["", "no JSON", "[]", "{\"Battery\":1}", "{\"id\":\"bad-7\",\"Versions\":{\"Battery\":1}}"] {
        let changed = other.execute("UPDATE documents SET document = ? WHERE id = 'bad-7'", [text]);
        assert_eq!(changed, Ok(1));
        match store.read("bad-7", &free()).await {
            Err(StoreError::Rejected(reason)) => assert!(reason.contains("\"bad-7\""), "{text:?}: {reason}"),
            result => panic!("{text:?}: {result:?}"),
        }
        assert!(matches!(store.list(None, 10).await, Err(StoreError::Rejected(_))), "{text:?}");
    }
    assert_eq!(stored(&store, "good").await.document, drone("good", 0.5), "the others are as they were");
}

#[tokio::test]
async fn while_another_process_writes_a_write_is_transient_and_reads_go_on() {
    let (_folder, database, other) = shared_file();
    let store = SqliteStore::new(database.clone());
    let etag = store.create(&drone("d", 0.5), &free()).await.expect("a creation");
    // It would wait for five seconds; the test does not.
    database.read(|connection| connection.busy_timeout(Duration::ZERO)).await.expect("a setting");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    for result in [store.create(&drone("e", 0.5), &free()).await, store.replace(&drone("d", 0.6), &etag, &free()).await]
    {
        match result {
            Err(StoreError::Transient(reason)) => {
                assert!(
                    reason.contains("another process has held its lock") && reason.contains("state.db"),
                    "{reason}"
                );
            }
            result => panic!("{result:?}"),
        }
    }
    assert_eq!(stored(&store, "d").await.document, drone("d", 0.5));
    other.execute_batch("COMMIT").expect("the lock is given back");
    assert!(store.replace(&drone("d", 0.6), &etag, &free()).await.is_ok());
    assert_eq!(store.read("e", &free()).await, Ok(None), "what was called undone was not done");
}

#[tokio::test]
async fn a_file_outlives_its_store_and_is_shared() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let first = SqliteStore::new(open(&path));
    let etag = first.create(&drone("d", 0.5), &free()).await.expect("a creation");
    let second = SqliteStore::new(Database::open(&path, OpenMode::Create).expect("it is there"));
    assert_eq!(stored(&second, "d").await, Stored { document: drone("d", 0.5), etag: etag.clone() });
    drop(first);
    assert!(second.replace(&drone("d", 0.6), &etag, &free()).await.is_ok());
    drop(second);
    let third = SqliteStore::new(open(&path));
    assert_eq!(stored(&third, "d").await.document, drone("d", 0.6));
}

/// The error of opening a file; it names the file.
#[track_caller]
fn refused(path: &Path, opening: OpenMode) -> String {
    let error = Database::open(path, opening).expect_err("it must be refused").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    error
}

#[test]
fn what_is_no_database_is_refused_and_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    for length in [20, 5_000] {
        let text = "no database ".repeat(length);
        std::fs::write(&path, &text).expect("a file");
        for opening in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
            let error = refused(&path, opening);
            assert!(error.contains("not an SQLite database"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), text);
    }
}

#[test]
fn a_path_that_leads_nowhere_is_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing").join("state.db");
    assert!(refused(&path, OpenMode::Create).contains("cannot be opened"));
    let path = folder.path().join("state.db");
    for opening in [OpenMode::Existing, OpenMode::ReadOnly] {
        assert!(refused(&path, opening).contains("cannot be opened"));
    }
    assert!(refused(folder.path(), OpenMode::Create).contains("cannot be opened"), "a folder");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn another_programs_database_is_refused_and_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("places.db");
    let contents =
        ["CREATE TABLE documents (id TEXT PRIMARY KEY, etag TEXT, document TEXT)", "PRAGMA application_id = 7"];
    for content in contents {
        let connection = Connection::open(&path).expect("a connection");
        connection.execute_batch(content).expect("another program's content");
        drop(connection);
        let before = std::fs::read(&path).expect("the file");
        for opening in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
            let error = refused(&path, opening);
            assert!(error.contains("another program"), "{error}");
        }
        assert_eq!(std::fs::read(&path).expect("the file"), before, "{content}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "{content}");
        std::fs::remove_file(&path).expect("it can be removed");
    }
}

#[test]
fn a_new_file_can_be_opened_by_several_at_the_same_time() {
    const OPENERS: usize = 8;
    for round in 0..50 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        let together = std::sync::Barrier::new(OPENERS);
        std::thread::scope(|scope| {
            let open = || {
                together.wait();
                Database::open(&path, OpenMode::Create).map(drop).map_err(|error| error.to_string())
            };
            let openers: Vec<_> = (0..OPENERS).map(|_| scope.spawn(open)).collect();
            for opener in openers {
                assert_eq!(opener.join().expect("no panic"), Ok(()), "round {round}");
            }
        });
    }
}
