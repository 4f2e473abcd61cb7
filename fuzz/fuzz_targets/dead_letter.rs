//! Whatever lies in the queue, it is read and shown, changed only where it is meant to be, replayed without a panic, and
//! leads to no file that it should not.
#![no_main]

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use devicestate_dead_letters::{Candidate, Entry, Replayer, log_query, readable};
use devicestate_engine::{
    clock::System,
    dead_letter::{DeadLetter, Directory, MAX_MESSAGE_BYTES, Overflow, body, fetch_complete, with_members},
    failure::{ErrorClass, Failure, Stage},
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    processor::{DocumentCache, Processor, Shared},
    queue::Message,
    store::MemoryStore,
    telemetry::drone::Drone,
};
use libfuzzer_sys::fuzz_target;
use serde_json::value::to_raw_value;
use tokio::runtime::{Builder, Runtime};

fuzz_target!(|message: &[u8]| {
    let entry = Entry::read(Message {
        id: "message".into(),
        body: message.to_vec(),
        inserted_ms: 0,
        expires_ms: Some(i64::MAX),
        dequeue_count: 1,
    });
    serde_json::to_string(&entry.summary()).expect("a summary is always JSON");
    assert_leads_nowhere_else(&String::from_utf8_lossy(message));
    let Some(letter) = entry.letter() else { return };
    assert_leads_nowhere_else(letter.overflow.as_ref().map_or("", |pointer| &pointer.location));
    assert_written_as_read(letter);
    assert_changed_only_by_the_replay(message, letter);
    if let Ok(body) = body(letter) {
        let _ = readable(letter, &body, &Drone::default());
    }
    let _ = log_query(letter);
    assert!(letter.message().is_some() || message.len() > MAX_MESSAGE_BYTES / 6, "escapes make six bytes of one");
    // It must not panic: what the replayer itself catches is seen here, too.
    RUNTIME.block_on(async {
        let replayed = REPLAYER.replay(&[letter, letter].map(|letter| Candidate { letter, edited: None })).await;
        assert_eq!(replayed.len(), 2);
        let _ = fetch_complete(letter, Some(&PLACE.directory)).await;
    });
});

/// What is written of a dead letter is read as the same, and written again byte for byte.
fn assert_written_as_read(letter: &DeadLetter) {
    let text = letter.to_json();
    for text in [text, letter.truncated_message()] {
        let again: DeadLetter = serde_json::from_str(&text).expect("it was written as a dead letter");
        assert_eq!(again.to_json(), text);
    }
}

fn assert_changed_only_by_the_replay(message: &[u8], letter: &DeadLetter) {
    let mut failed = letter.clone();
    let issue = "again".to_owned();
    let failure =
        Failure { stage: Stage::Update, class: ErrorClass::Poison, issue, device_id: None, device_state: None };
    failed.failed_again(&failure, 0);
    let replay = to_raw_value(&failed.replay).expect("texts and numbers are always JSON");
    let changed = with_members(message, [("Replay", replay)]).expect("what was read as a dead letter is an object");
    let changed: DeadLetter = serde_json::from_str(&changed).expect("it is one still");
    assert_eq!(changed.to_json(), failed.to_json());
}

/// A folder of dead letters, and beside it what is none of them.
struct Place {
    directory: Directory,
    within: Vec<u8>,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    // Kept, since the process ends without a word to its statics: fuzz/run removes it.
    let folder: PathBuf = tempfile::tempdir().expect("a folder").keep();
    let within = b"a dead letter".to_vec();
    let directory = Directory(folder.join("dead-letters"));
    fs::create_dir_all(directory.0.join("below")).expect("a folder");
    fs::write(directory.0.join("a.json"), &within).expect("a file");
    for elsewhere in [folder.join("b.json"), directory.0.join("below").join("b.json"), directory.0.join("b.txt")] {
        fs::write(elsewhere, "none of yours").expect("a file");
    }
    Place { directory, within }
});

fn assert_leads_nowhere_else(location: &str) {
    if let Ok(read) = RUNTIME.block_on(PLACE.directory.get(location)) {
        assert_eq!(read, PLACE.within, "{location:?}");
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static REPLAYER: LazyLock<Replayer> = LazyLock::new(|| Replayer {
    processor: Arc::new(Processor {
        telemetry: Arc::new(Drone::default()),
        store: Arc::new(MemoryStore::default()),
        cache: DocumentCache::new(0),
        clock: Arc::new(System),
        random: Arc::new(System),
        observer: Arc::new(()),
        budget: Duration::from_mins(1),
        concurrency: 8,
        shared: Shared::default(),
    }),
    overflow: Some(Arc::new(PLACE.directory.clone())),
    triggers: vec![Trigger::EventHub(EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        connection: "EventHubConnection".into(),
        cardinality: Cardinality::Many,
        data_type: DataType::Binary,
    })],
});
