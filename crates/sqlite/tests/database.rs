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
