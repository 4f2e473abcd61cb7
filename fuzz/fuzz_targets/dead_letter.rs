//! Any message of the queue can be read, shown, changed and replayed without a panic, and its location cannot select a file
//! outside the overflow folder.
#![no_main]

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use devicestate_dead_letters::{Candidate, Entry, Replayer, log_query, readable_body};
use devicestate_engine::{
    clock::System,
    dead_letter::{DeadLetter, Directory, MAX_MESSAGE_BYTES, Overflow, event_body, fetch_complete, with_members},
    failure::{ErrorClass, Failure, Stage},
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    processor::{DocumentCache, IotHubTime, Processor, Shared},
    queue::Message,
    store::MemoryStore,
    telemetry::drone::Drone,
};
use libfuzzer_sys::fuzz_target;
use serde_json::value::to_raw_value;
use tokio::runtime::{Builder, Runtime};

fuzz_target!(|message: &[u8]| {
    let entry = Entry::parse(Message {
        id: "message".into(),
        body: message.to_vec(),
        inserted_ms: 0,
        expires_ms: Some(i64::MAX),
        dequeue_count: 1,
    });
    serde_json::to_string(&entry.summary()).expect("a summary is always JSON");
    assert_reads_only_from_folder(&String::from_utf8_lossy(message));
    let Some(letter) = entry.dead_letter() else { return };
    assert_reads_only_from_folder(letter.overflow.as_ref().map_or("", |pointer| &pointer.location));
    assert_round_trip(letter);
    assert_only_replay_changes(message, letter);
    if let Ok(body) = event_body(letter) {
        let _ = readable_body(letter, &body, &Drone::default());
    }
    let _ = log_query(letter);
    assert!(letter.message().is_some() || message.len() > MAX_MESSAGE_BYTES / 6, "an escape has at most six bytes");
    // It must not panic. The fuzzer also reports panics that the replayer catches.
    RUNTIME.block_on(async {
        let replayed = REPLAYER.replay(&[letter, letter].map(|letter| Candidate { letter, edited: None })).await;
        assert_eq!(replayed.len(), 2);
        let _ = fetch_complete(letter, Some(&OVERFLOW.directory)).await;
    });
});

/// Asserts that a dead letter is written again byte for byte as it was read.
fn assert_round_trip(letter: &DeadLetter) {
    let text = letter.to_json();
    for text in [text, letter.truncated_message()] {
        let reread: DeadLetter = serde_json::from_str(&text).expect("it was written as a dead letter");
        assert_eq!(reread.to_json(), text);
    }
}

fn assert_only_replay_changes(message: &[u8], letter: &DeadLetter) {
    let mut failed = letter.clone();
    let issue = "failed again".to_owned();
    let failure = Failure {
        stage: Stage::Update,
        class: ErrorClass::Poison,
        issue,
        device_id: None,
        device_state: None,
        other_devices: Vec::new(),
    };
    failed.add_failed_replay(&failure, 0);
    let replay = to_raw_value(&failed.replay).expect("texts and numbers are always JSON");
    let changed = with_members(message, [("Replay", replay)]).expect("a dead letter is an object");
    let changed: DeadLetter = serde_json::from_str(&changed).expect("a dead letter");
    assert_eq!(changed.to_json(), failed.to_json());
}

/// A folder with one dead letter, and other files inside and outside of it.
struct OverflowFolder {
    directory: Directory,
    dead_letter: Vec<u8>,
}

static OVERFLOW: LazyLock<OverflowFolder> = LazyLock::new(|| {
    // The process ends without dropping its statics, so fuzz/run removes the folder.
    let folder: PathBuf = tempfile::tempdir().expect("a folder").keep();
    let dead_letter = b"a dead letter".to_vec();
    let directory = Directory(folder.join("dead-letters"));
    fs::create_dir_all(directory.0.join("below")).expect("a folder");
    fs::write(directory.0.join("a.json"), &dead_letter).expect("a file");
    for elsewhere in [folder.join("b.json"), directory.0.join("below").join("b.json"), directory.0.join("b.txt")] {
        fs::write(elsewhere, "not a dead letter").expect("a file");
    }
    OverflowFolder { directory, dead_letter }
});

fn assert_reads_only_from_folder(location: &str) {
    if let Ok(read) = RUNTIME.block_on(OVERFLOW.directory.get(location)) {
        assert_eq!(read, OVERFLOW.dead_letter, "{location:?}");
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static REPLAYER: LazyLock<Replayer> = LazyLock::new(|| Replayer {
    processor: Arc::new(Processor {
        telemetry: Arc::new(Drone::default()),
        store: Arc::new(MemoryStore::default()),
        iot_hub_time: IotHubTime::Enqueued,
        cache: DocumentCache::new(0),
        clock: Arc::new(System),
        random: Arc::new(System),
        observer: Arc::new(()),
        budget: Duration::from_mins(1),
        concurrency: 8,
        heard_every: Duration::from_mins(5),
        max_readings: 1000,
        shared: Shared::default(),
    }),
    overflow: Some(Arc::new(OVERFLOW.directory.clone())),
    triggers: vec![Trigger::EventHub(EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        connection: "EventHubConnection".into(),
        cardinality: Cardinality::Many,
        data_type: DataType::Binary,
    })],
    accepts_other_telemetry: false,
});
