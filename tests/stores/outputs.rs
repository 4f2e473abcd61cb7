//! Replies, dead letters and documents are byte for byte those stored in `tests/fixtures/outputs`, so that a change that is to
//! make the handler faster changes nothing else. `UPDATE_OUTPUTS=1` stores those of now.

mod aircraft;
mod replay;
mod scenarios;

use std::{collections::BTreeMap, env, fs, path::Path, sync::Arc};

use devicestate_engine::store::{MemoryStore, StateStore};
use devicestate_sqlite::{Database, OpenMode, SqliteStore};
use devicestate_test_doubles::StoppedClock;
use devicestate_test_support::root;
use rusqlite::Connection;

use replay::{Replay, documents, with_paused_clock};
use scenarios::{Scenario, failing, scenarios};

/// Compares an output with the stored one.
#[track_caller]
fn assert_stored(name: &str, output: &str) {
    assert_digest_stored(name, output, output);
}

/// Compares what is stored of an output.
#[track_caller]
fn assert_digest_stored(name: &str, digest: &str, output: &str) {
    let name = format!("{name}.txt");
    let stored_path = root().join("tests/fixtures/outputs").join(&name);
    if env::var_os("UPDATE_OUTPUTS").is_some() {
        return fs::write(&stored_path, digest).expect("a writable file");
    }
    let stored = fs::read_to_string(&stored_path).unwrap_or_default();
    if digest != stored {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, output).expect("a writable file");
        let is_same = |(now, before)| now == before;
        let line = digest.lines().zip(stored.lines()).take_while(|lines| is_same(*lines)).count() + 1;
        panic!(
            "the outputs differ from line {line} of {} on. They are in {}; those before a change are there if the test fails \
             without it, too. If this is intended:\nUPDATE_OUTPUTS=1 cargo test --test stores outputs",
            stored_path.display(),
            path.display()
        );
    }
}

/// Returns the responses to the requests of a scenario, and the documents then.
fn outputs(scenario: &Scenario, store: &Arc<impl StateStore + 'static>) -> String {
    with_paused_clock(async {
        let mut replay = Replay::new(Arc::clone(&scenario.telemetry), store.clone());
        replay.invoke_all(&scenario.requests).await + &documents(&**store).await
    })
}

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::with_clock(Arc::new(StoppedClock)))
}

#[test]
fn the_outputs_of_each_fixture_are_those_stored() {
    for scenario in scenarios() {
        assert_stored(scenario.name, &outputs(&scenario, &memory()));
    }
}

#[test]
fn the_outputs_with_a_failing_store_are_those_stored() {
    let (scenario, store) = failing();
    assert_stored(scenario.name, &outputs(&scenario, &store));
}

/// The text in the table is that of the document, and the replies are those with a store in memory.
#[tokio::test]
async fn the_outputs_with_a_state_file_are_those_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    for scenario in scenarios() {
        let path = folder.path().join(scenario.name);
        let store = SqliteStore::new(Database::open(&path, OpenMode::Create).expect("a state file"));
        let mut replay = Replay::new(scenario.telemetry, Arc::new(store));
        let output = replay.invoke_all(&scenario.requests).await + &texts(&path);
        assert_stored(scenario.name, &output);
    }
}

/// Returns the texts of the documents in a state file, one a line, in the order of their ids.
fn texts(path: &Path) -> String {
    let connection = Connection::open(path).expect("a state file");
    let mut rows = connection.prepare("SELECT id, document FROM documents").expect("a table");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let texts: BTreeMap<String, String> = rows.collect::<Result<_, _>>().expect("texts");
    texts.into_values().map(|text| text + "\n").collect()
}
