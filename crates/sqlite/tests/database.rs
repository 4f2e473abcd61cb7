//! The connection to a state file: how it is closed, and a file that another process changes.

use std::{sync::mpsc, thread, time::Duration};

use devicestate_sqlite::{Database, OpenMode};
use tokio::runtime::Builder;

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_database_that_is_dropped_within_a_runtime_does_not_stop_its_other_tasks() {
    let (result, ended) = mpsc::channel();
    thread::spawn(move || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
        let database = Database::open(&path, OpenMode::Create).expect("a database");
        let (release, wait) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel::<()>();
        let task = runtime.spawn(async move {
            let operation = move |_: &_| {
                started.send(()).expect("this task waits");
                wait.recv().expect("the other task runs");
                Ok(())
            };
            // Polled once, so that the operation runs while the database is dropped.
            let write = tokio::time::timeout(Duration::ZERO, database.write(operation));
            let _ = write.await;
            starts.recv().expect("the operation starts");
            tokio::spawn(async move { release.send(()) });
            drop(database);
        });
        runtime.block_on(task).expect("it ends");
        result.send(path.with_extension("db-wal").exists()).expect("the test waits");
    });
    let has_log = ended.recv_timeout(MINUTE).expect("the runtime ran no other task");
    assert!(!has_log, "the drop waits until the file is closed");
}

/// The log of another process is one that cannot be opened.
#[cfg(unix)]
#[tokio::test]
async fn a_reader_that_cannot_read_the_log_of_another_process_returns_no_outdated_documents() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    Database::open(&path, OpenMode::Create).expect("a database").close();
    let reader = Database::open(&path, OpenMode::ReadOnly).expect("a database");
    let count =
        || reader.read(|connection| connection.query_row("SELECT count(*) FROM documents", [], |row| row.get(0)));
    assert_eq!(count().await.expect("a count"), 0);
    std::fs::create_dir(path.with_extension("db-wal")).expect("a folder");
    let error = count().await.map(|count: i64| count).expect_err("there is a log").to_string();
    assert!(error.contains("state.db: it cannot be"), "{error}");
    std::fs::remove_dir(path.with_extension("db-wal")).expect("the folder");
    assert_eq!(count().await.expect("a count"), 0);
}

/// The frames of the write-ahead log show it: each transaction writes the changed page once more.
#[tokio::test]
async fn the_operations_of_tasks_that_are_ready_share_a_transaction() {
    const FRAME_BYTES: u64 = 4_096 + 24;
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a database");
    let log_bytes = || std::fs::metadata(folder.path().join("state.db-wal")).expect("a log").len();
    let before = log_bytes();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let database = database.clone();
        tasks.spawn(async move {
            let insert = "INSERT INTO dead_letters (inserted_ms, text) VALUES (0, x'00')";
            database.write(|connection| connection.execute(insert, [])).await.expect("it is written")
        });
    }
    assert_eq!(tasks.join_all().await.len(), 100);
    let frames = (log_bytes() - before) / FRAME_BYTES;
    assert!(frames < 10, "{frames} frames");
}

#[tokio::test]
async fn an_operation_that_is_given_up_at_once_does_not_stop_the_next_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a database");
    tokio::select! {
        biased;
        _ = database.write(|_| Ok(())) => panic!("it is polled once"),
        () = std::future::ready(()) => {}
    }
    let next = tokio::time::timeout(MINUTE, database.read(|_| Ok(7))).await;
    assert_eq!(next.expect("the thread runs").expect("it is read"), 7);
}
