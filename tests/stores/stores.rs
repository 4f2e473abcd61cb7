//! The contract of every store, and tests of the SQLite file.

use std::{path::Path, sync::Arc, time::Duration};

use devicestate_engine::{
    device_state::Document,
    store::{ETag, Page, Pages, RequestCharge, Selection, StateStore, StoreError, Stored},
};
use devicestate_sqlite::{Database, OpenMode, SqliteStore};
use devicestate_test_doubles::{document, version};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::kinds::{NamedStore, for_each_store, open};

for_each_store![
    a_created_document_can_be_read,
    an_existing_document_is_not_created_again,
    only_an_unchanged_document_is_replaced,
    a_missing_document_is_not_replaced_and_a_tag_is_valid_for_one_document,
    one_of_several_concurrent_writers_succeeds,
    documents_are_listed_in_order_of_their_ids_in_pages,
];

fn drone(id: &str, battery: f64) -> Document {
    document(id, version(7), &json!({"Battery": battery, "Note": "ünï\u{10348}"}))
}

/// Returns a request charge that these tests ignore.
fn ignored_charge() -> RequestCharge {
    RequestCharge::default()
}

async fn stored(store: &dyn StateStore, id: &str) -> Stored {
    store.read(id, &ignored_charge()).await.expect("a read").expect("a document")
}

async fn a_created_document_can_be_read((name, store): NamedStore) {
    assert_eq!(store.read("drone-1", &ignored_charge()).await, Ok(None), "{name}");
    let etag = store.create(&drone("drone-1", 0.5), &ignored_charge()).await.expect("a creation");
    let expected = Stored { document: drone("drone-1", 0.5), etag };
    assert_eq!(store.read("drone-1", &ignored_charge()).await, Ok(Some(expected)), "{name}");
    assert_eq!(store.read("Drone-1", &ignored_charge()).await, Ok(None), "{name}: ids are case-sensitive");
    assert_eq!(store.read("drone-10", &ignored_charge()).await, Ok(None), "{name}");
}

async fn an_existing_document_is_not_created_again((name, store): NamedStore) {
    let etag = store.create(&drone("d", 0.5), &ignored_charge()).await.expect("a creation");
    assert_eq!(store.create(&drone("d", 0.9), &ignored_charge()).await, Err(StoreError::Conflict), "{name}");
    assert_eq!(stored(&*store, "d").await, Stored { document: drone("d", 0.5), etag }, "{name}");
}

async fn only_an_unchanged_document_is_replaced((name, store): NamedStore) {
    let first = store.create(&drone("d", 0.1), &ignored_charge()).await.expect("a creation");
    let second = store.replace(&drone("d", 0.2), &first, &ignored_charge()).await.expect("a replacement");
    assert_ne!(first, second, "{name}");
    assert_eq!(store.replace(&drone("d", 0.3), &first, &ignored_charge()).await, Err(StoreError::Conflict), "{name}");
    assert_eq!(stored(&*store, "d").await, Stored { document: drone("d", 0.2), etag: second.clone() }, "{name}");
    // Writing the same document again changes the tag.
    let third = store.replace(&drone("d", 0.2), &second, &ignored_charge()).await.expect("a replacement");
    assert_ne!(second, third, "{name}");
    assert_eq!(stored(&*store, "d").await.etag, third, "{name}");
    let no_tag = ETag("no such tag".into());
    assert_eq!(store.replace(&drone("d", 0.4), &no_tag, &ignored_charge()).await, Err(StoreError::Conflict), "{name}");
}

async fn a_missing_document_is_not_replaced_and_a_tag_is_valid_for_one_document((name, store): NamedStore) {
    let etag = store.create(&drone("a", 0.1), &ignored_charge()).await.expect("a creation");
    assert_eq!(store.replace(&drone("b", 0.2), &etag, &ignored_charge()).await, Err(StoreError::Conflict), "{name}");
    assert_eq!(store.read("b", &ignored_charge()).await, Ok(None), "{name}");
    store.create(&drone("b", 0.2), &ignored_charge()).await.expect("a creation");
    assert_eq!(store.replace(&drone("b", 0.3), &etag, &ignored_charge()).await, Err(StoreError::Conflict), "{name}");
}

async fn one_of_several_concurrent_writers_succeeds((name, store): NamedStore) {
    let mut etag = store.create(&drone("d", 0.0), &ignored_charge()).await.expect("a creation");
    for round in 0..20 {
        let writers = (0..8).map(|writer| {
            let (store, etag, battery) = (Arc::clone(&store), etag.clone(), f64::from(round * 10 + writer));
            tokio::spawn(async move { store.replace(&drone("d", battery), &etag, &ignored_charge()).await })
        });
        let mut succeeded = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.expect("no panic") {
                Ok(etag) => succeeded.push(etag),
                Err(error) => assert_eq!(error, StoreError::Conflict, "{name}"),
            }
        }
        assert_eq!(succeeded.len(), 1, "{name}");
        etag = succeeded.remove(0);
        assert_eq!(stored(&*store, "d").await.etag, etag, "{name}");
    }
}

async fn documents_are_listed_in_order_of_their_ids_in_pages((name, store): NamedStore) {
    assert_eq!(store.list(Selection::every(None, 10), &RequestCharge::default()).await, Ok(Page::default()), "{name}");
    for id in ["b", "ä", "a", "Z", "c", "a~2F1"] {
        store.create(&drone(id, 0.5), &ignored_charge()).await.expect("a creation");
    }
    let (mut pages, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.list(Selection::every(after.as_deref(), 4), &RequestCharge::default()).await.expect("a page");
        let ids: Vec<_> = page.documents.into_iter().map(|document| document.id).collect();
        assert_eq!(page.last_id.as_ref(), ids.last(), "{name}");
        after = page.last_id;
        if after.is_none() {
            break;
        }
        pages.push(ids);
    }
    assert_eq!(pages, [vec!["Z", "a", "a~2F1", "b"], vec!["c", "ä"]], "{name}");
    let after_missing = store.list(Selection::every(Some("bb"), 1), &RequestCharge::default()).await.expect("a page");
    assert_eq!(after_missing.last_id.as_deref(), Some("c"), "{name}: after an id that does not exist");
    assert_eq!(
        store
            .list(Selection::every(None, usize::MAX), &RequestCharge::default())
            .await
            .expect("a page")
            .documents
            .len(),
        6,
        "{name}"
    );
}

/// Returns a state file, and a second connection to it like that of another program.
fn shared_file() -> (TempDir, Database, Connection) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let database = open(&path);
    let other = Connection::open(&path).expect("a connection");
    (folder, database, other)
}

#[tokio::test]
async fn a_recreated_document_has_a_new_tag() {
    let (_folder, database, other) = shared_file();
    let store = SqliteStore::new(database);
    let before = store.create(&drone("d", 0.5), &ignored_charge()).await.expect("a creation");
    assert_eq!(other.execute("DELETE FROM documents WHERE id = 'd'", []), Ok(1));
    assert_eq!(
        store.replace(&drone("d", 0.6), &before, &ignored_charge()).await,
        Err(StoreError::Conflict),
        "the old file is deleted"
    );
    let after = store.create(&drone("d", 0.5), &ignored_charge()).await.expect("a creation");
    assert_ne!(before, after);
    assert_eq!(store.replace(&drone("d", 0.6), &before, &ignored_charge()).await, Err(StoreError::Conflict));
    assert_eq!(stored(&store, "d").await, Stored { document: drone("d", 0.5), etag: after });
}

#[tokio::test]
async fn an_invalid_stored_document_is_rejected_by_id() {
    let (_folder, database, other) = shared_file();
    let store = SqliteStore::new(database);
    store.create(&drone("valid", 0.5), &ignored_charge()).await.expect("a creation");
    store.create(&drone("invalid-7", 0.5), &ignored_charge()).await.expect("a creation");
    for text in [
        &b""[..],
        b"not JSON",
        b"[]",
        b"{\"Battery\":1}",
        b"{\"id\":\"invalid-7\",\"Versions\":{\"Battery\":1}}",
        b"{\"id\":\"a\xff\"}",
        b"{\"id\":\"valid\",\"Versions\":{}}",
    ] {
        let changed = other.execute("UPDATE documents SET document = CAST(? AS TEXT) WHERE id = 'invalid-7'", [text]);
        assert_eq!(changed, Ok(1));
        let text = String::from_utf8_lossy(text);
        match store.read("invalid-7", &ignored_charge()).await {
            Err(StoreError::Rejected(reason)) => assert!(reason.contains("\"invalid-7\""), "{text:?}: {reason}"),
            result => panic!("{text:?}: {result:?}"),
        }
        let page = store.list(Selection::every(None, 10), &RequestCharge::default()).await.expect("a page");
        assert_eq!(page.documents, [drone("valid", 0.5)], "{text:?}: the others are listed");
        assert!(page.invalid.len() == 1 && page.invalid[0].contains("\"invalid-7\""), "{page:?}");
    }
    assert_eq!(stored(&store, "valid").await.document, drone("valid", 0.5), "the others are unchanged");
}

/// The ids are those of the rows, so that a document that names an earlier one does not start the list again.
#[tokio::test]
async fn a_list_with_invalid_documents_and_ids_ends() {
    let (_folder, database, other) = shared_file();
    let store = SqliteStore::new(database);
    for id in ["a", "m", "z"] {
        store.create(&drone(id, 0.5), &ignored_charge()).await.expect("a creation");
    }
    let insert = "INSERT INTO documents (id, etag, document) VALUES (CAST(? AS TEXT), '', '{\"id\":\"a\"}')";
    for id in [&b"b\xff"[..], b"zz", b"\xfe", b"\xff"] {
        assert_eq!(other.execute(insert, [id]), Ok(1));
    }
    let (mut pages, mut documents, mut invalid) = (Pages::new(&store, usize::MAX), 0, 0);
    while let Some(page) = pages.next().await.expect("a page") {
        documents += page.documents.len();
        invalid += page.invalid.len();
    }
    assert_eq!(documents, 3);
    assert!(invalid >= 4, "no invalid row is hidden: {invalid}");
}

#[tokio::test]
async fn a_write_during_the_write_of_another_process_is_transient_and_reads_succeed() {
    let (_folder, database, other) = shared_file();
    let store = SqliteStore::new(database.clone());
    let etag = store.create(&drone("d", 0.5), &ignored_charge()).await.expect("a creation");
    // Disables the wait of five seconds.
    database.read(|connection| connection.busy_timeout(Duration::ZERO)).await.expect("a setting");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    for result in [
        store.create(&drone("e", 0.5), &ignored_charge()).await,
        store.replace(&drone("d", 0.6), &etag, &ignored_charge()).await,
    ] {
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
    other.execute_batch("COMMIT").expect("the lock is released");
    assert!(store.replace(&drone("d", 0.6), &etag, &ignored_charge()).await.is_ok());
    assert_eq!(store.read("e", &ignored_charge()).await, Ok(None), "the failed write changed nothing");
}

#[tokio::test]
async fn a_file_is_shared_by_several_stores() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let first = SqliteStore::new(open(&path));
    let etag = first.create(&drone("d", 0.5), &ignored_charge()).await.expect("a creation");
    let second = SqliteStore::new(Database::open(&path, OpenMode::Create).expect("it exists"));
    assert_eq!(stored(&second, "d").await, Stored { document: drone("d", 0.5), etag: etag.clone() });
    drop(first);
    assert!(second.replace(&drone("d", 0.6), &etag, &ignored_charge()).await.is_ok());
    drop(second);
    let third = SqliteStore::new(open(&path));
    assert_eq!(stored(&third, "d").await.document, drone("d", 0.6));
}

/// Returns the error of opening a file, which must name the file.
#[track_caller]
fn open_error(path: &Path, mode: OpenMode) -> String {
    let error = Database::open(path, mode).expect_err("the file must be rejected").to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    error
}

#[test]
fn a_file_that_is_not_a_database_is_rejected_and_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    for length in [20, 5_000] {
        let text = "not a database ".repeat(length);
        std::fs::write(&path, &text).expect("a file");
        for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
            let error = open_error(&path, mode);
            assert!(error.contains("not an SQLite database"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), text);
    }
}

#[test]
fn a_missing_path_is_reported_and_nothing_is_created() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing").join("state.db");
    assert!(open_error(&path, OpenMode::Create).contains("cannot be opened"));
    let path = folder.path().join("state.db");
    for mode in [OpenMode::Existing, OpenMode::ReadOnly] {
        assert!(open_error(&path, mode).contains("cannot be opened"));
    }
    assert!(open_error(folder.path(), OpenMode::Create).contains("cannot be opened"), "a folder");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn another_programs_database_is_rejected_and_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("places.db");
    let contents =
        ["CREATE TABLE documents (id TEXT PRIMARY KEY, etag TEXT, document TEXT)", "PRAGMA application_id = 7"];
    for content in contents {
        let connection = Connection::open(&path).expect("a connection");
        connection.execute_batch(content).expect("another program's content");
        drop(connection);
        let before = std::fs::read(&path).expect("the file");
        for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
            let error = open_error(&path, mode);
            assert!(error.contains("another program"), "{error}");
        }
        assert_eq!(std::fs::read(&path).expect("the file"), before, "{content}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "{content}");
        std::fs::remove_file(&path).expect("the file can be removed");
    }
}

#[test]
fn a_new_file_can_be_opened_concurrently() {
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
