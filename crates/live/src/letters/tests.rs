use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use devicestate_engine::{
    batch::MetadataColumn,
    dead_letter::{Attempt, DeadLetter},
    failure::Failure,
    queue::{DeadLetterQueue, Message, Received},
    text::iso8601,
};
use devicestate_test_doubles::{NOW, T0, batch, event};
use serde_json::{Value, json};

use super::*;
use crate::{
    Options,
    detail::detail,
    test_store::{self, TestStore},
};

/// A queue that can only be peeked, in pages of at most two messages.
#[derive(Default)]
struct TestQueue(Mutex<Vec<Message>>);

impl TestQueue {
    /// Puts a dead letter of this event, or other text.
    fn put(&self, body: Vec<u8>) {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = i64::try_from(messages.len()).expect("few") + 1;
        let id = number.to_string();
        messages.push(Message { id, body, inserted_ms: number * 1_000, expires_ms: None, dequeue_count: 0 });
    }

    fn put_letter(&self, number: i64, device: &str, issue: &str) {
        let failure = Failure {
            stage: Stage::Validate,
            class: ErrorClass::Poison,
            issue: issue.into(),
            device_id: Some(device.into()),
            device_state: None,
            other_devices: Vec::new(),
        };
        let attempt = Attempt { invocation_id: "i", number: 1, time_ms: NOW, telemetry: "drone" };
        let mut batch = batch([event(number, &json!({"n": number}))]);
        // As the host sends the position.
        let metadata = Arc::get_mut(&mut batch.metadata).expect("not shared");
        metadata.sequence_numbers = MetadataColumn::new(format!("[{number}]"), 1);
        metadata.enqueued_times = MetadataColumn::new(format!("[{:?}]", iso8601(T0 + number)), 1);
        let letter = DeadLetter::new(&batch, 0, &failure, attempt);
        self.put(serde_json::to_vec(&letter).expect("JSON"));
    }
}

#[async_trait]
impl DeadLetterQueue for TestQueue {
    fn name(&self) -> String {
        "a test".into()
    }

    async fn put(&self, _: &[u8]) -> Result<(), QueueError> {
        unreachable!("the page only reads")
    }

    async fn count(&self) -> Result<u64, QueueError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    async fn peek(&self, _: usize) -> Result<Vec<Message>, QueueError> {
        unreachable!("only its first messages")
    }

    async fn peek_after(&self, after: Option<&str>, _: usize) -> Result<Vec<Message>, QueueError> {
        let messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(messages.iter().skip(after.map_or(0, |id| id.parse().expect("a number"))).take(2).cloned().collect())
    }

    async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Received>, QueueError> {
        unreachable!("a received message is hidden from others")
    }

    async fn update(&self, _: &mut Received, _: Option<&[u8]>, _: Duration) -> Result<(), QueueError> {
        unreachable!("the page only reads")
    }

    async fn delete(&self, _: &Received) -> Result<(), QueueError> {
        unreachable!("the page only reads")
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_grouped_with_the_command_that_repairs_them_while_a_page_is_open() {
    let queue = Arc::new(TestQueue::default());
    for (number, device) in [(1, "d 1"), (2, "d 2"), (3, "d 1")] {
        queue.put_letter(number, device, &format!("mode {number} of \"{device}\" isn't known (yet)"));
    }
    queue.put(b"{}".to_vec());
    let commands = Commands { program: "devicestate".into(), options: " --state state.db".into() };
    let dead_letters = DeadLetters { queue: queue.clone(), commands };
    let store = Arc::new(TestStore::default());
    let shared = Shared::new(Options { dead_letters: Some(dead_letters), ..test_store::options(store) });
    tokio::spawn(watch(Arc::clone(&shared)));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(shared.letters().event, "");
    let _reader = shared.admit_reader();
    sleep(EVERY).await;
    let letters = shared.letters();
    let event: Value = serde_json::from_str(&letters.event).expect("JSON");
    assert_eq!((&event["total"], &event["examined"], &event["problem"]), (&json!(4), &json!(4), &Value::Null));
    let command =
        r"devicestate dead-letters replay --issue '^mode [0-9.]+ of .* isn'\''t known \(yet\)$' --state state.db";
    let group = json!({
        "issue": "mode # of … isn't known (yet)", "errorClass": "poison", "stage": "validate", "count": 3,
        "devices": ["d 1", "d 2"], "oldestMs": 1_000, "command": command,
    });
    assert_eq!(event["groups"][0], group);
    assert_eq!(event["groups"][1]["command"], json!("devicestate dead-letters discard --message 4 --state state.db"));
    assert_eq!(event["groups"].as_array().map(Vec::len), Some(2));
    let of_device = serde_json::to_value(letters.of_device("d 1").0).expect("JSON");
    assert_eq!(of_device.as_array().map(Vec::len), Some(2));
    let id = of_device[0]["id"].as_str().expect("an id");
    assert_eq!(of_device[0]["command"], json!(format!("devicestate dead-letters show {id} --state state.db")));
    // A device without a document is not unknown: its dead letters say why it has none.
    let detail = detail(&shared, "d 2").await.expect("the store can be read").expect("it has a dead letter");
    let detail: Value = serde_json::from_str(&detail).expect("JSON");
    let expected = (json!("d 2"), Value::Null, json!([]), json!("mode 2 of \"d 2\" isn't known (yet)"));
    assert_eq!(
        (&detail["id"], &detail["heardMs"], &detail["readings"], &detail["deadLetters"][0]["issue"]),
        (&expected.0, &expected.1, &expected.2, &expected.3)
    );
    // Without a change, the readers get nothing new; with one, they do.
    sleep(EVERY * 3).await;
    assert!(Arc::ptr_eq(&letters, &shared.letters()));
    queue.put_letter(4, "d 3", "another");
    sleep(EVERY).await;
    let event: Value = serde_json::from_str(&shared.letters().event).expect("JSON");
    assert_eq!((&event["total"], event["groups"].as_array().map(Vec::len)), (&json!(5), Some(3)));
    (5..).take(MAX_DEVICE_LETTERS).for_each(|number| queue.put_letter(number, "d 1", "one more"));
    sleep(EVERY).await;
    let letters = shared.letters();
    let (first, count) = letters.of_device("d 1");
    assert_eq!((first.len(), count), (MAX_DEVICE_LETTERS, MAX_DEVICE_LETTERS + 2));
}

#[tokio::test]
async fn the_number_of_dead_letters_that_are_read_is_limited() {
    let queue = Arc::new(TestQueue::default());
    (0..=MAX_MESSAGES).for_each(|_| queue.put(b"x".to_vec()));
    let letters = DeadLetters { queue, commands: Commands::default() };
    let event: Value = serde_json::from_str(&Letters::read(&letters).await.expect("messages").event).expect("JSON");
    assert_eq!((&event["total"], &event["examined"]), (&json!(MAX_MESSAGES + 1), &json!(MAX_MESSAGES)));
}

#[test]
fn the_pattern_of_a_kind_is_a_regular_expression_of_its_issues() {
    let kind = without_names_and_numbers("flight mode 99 (of \"drone-7\") is undefined");
    assert_eq!(pattern(&kind), r"^flight mode [0-9.]+ \(of .*\) is undefined$");
    let long = "a".repeat(MAX_PATTERN_CHARS + 1);
    assert_eq!(pattern(&long), format!("^{}", &long[1..]));
}
