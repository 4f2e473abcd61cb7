//! The handler's reply, parsed like the host does: a reply that the host would reject fails the test.

use serde_json::Value;

use super::{Response, read_dead_letter, read_record};

/// The largest text of a queue message, in bytes.
const MAX_MESSAGE_BYTES: usize = 49_152;

/// A valid reply to a batch.
#[derive(Debug)]
pub struct Reply {
    /// The dead letters, in the queue binding's order.
    pub dead_letters: Vec<Value>,
    /// The records of the dead letters: all lines of `Logs` but the last.
    pub records: Vec<Value>,
    /// The record of the batch: the last line.
    pub batch: Value,
}

impl Reply {
    /// Parses a response and checks that it satisfies the host's contract exactly.
    pub fn from_response(response: &Response) -> Self {
        let json = response.json();
        assert_eq!(response.status, 200, "{json}");
        let content_type = response.header("Content-Type").expect("a content type");
        assert_eq!(content_type.split(';').next(), Some("application/json"));
        let members: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["Logs", "Outputs", "ReturnValue"], "{json}");
        assert!(json["ReturnValue"].is_null());

        let outputs = json["Outputs"].as_object().expect("an object");
        assert_eq!(outputs.keys().collect::<Vec<_>>(), ["deadLetterMessages"], "the exact name, and no other");
        let messages = strings(&outputs["deadLetterMessages"]);
        assert!(
            messages.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES),
            "a message does not fit into the queue"
        );
        let logs = strings(&json["Logs"]);
        assert!(logs.iter().all(|line| !line.contains(['\n', '\r'])), "one record, one line: {logs:?}");

        let mut records: Vec<_> = logs.iter().map(|line| read_record(line)).collect();
        let batch = records.pop().expect("the batch's record");
        let dead_letters = messages.iter().map(read_dead_letter).collect();
        let reply = Self { dead_letters, records, batch };
        assert_eq!(reply.batch["record"], "batch", "{json}");
        let [events, applied, superseded, dead_lettered] = reply.counts();
        let [unrecognized, ignored] = reply.not_stored();
        assert_eq!(events, applied + superseded + dead_lettered + unrecognized + ignored, "{}", reply.batch);
        assert_eq!(dead_lettered, messages.len() as u64, "{}", reply.batch);
        assert_eq!(dead_lettered, reply.records.len() as u64, "one record for each dead letter");
        reply
    }

    /// Returns the counts of events, applied, superseded and dead-lettered.
    pub fn counts(&self) -> [u64; 4] {
        ["events", "applied", "superseded", "deadLettered"].map(|name| self.count(name))
    }

    /// Returns the counts of unrecognized and ignored events.
    pub fn not_stored(&self) -> [u64; 2] {
        ["unrecognized", "ignored"].map(|name| self.count(name))
    }

    fn count(&self, name: &str) -> u64 {
        self.batch[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.batch))
    }

    /// Checks that all events were applied.
    #[track_caller]
    pub fn assert_all_applied(&self, events: u64) {
        assert_eq!(self.counts(), [events, events, 0, 0], "{:?}", self.dead_letters);
    }

    /// Returns the only dead letter.
    #[track_caller]
    pub fn dead_letter(&self) -> &Value {
        match self.dead_letters.as_slice() {
            [dead_letter] => dead_letter,
            others => panic!("one dead letter was expected: {others:?}"),
        }
    }
}

/// Returns the records of a reply of the timer function, one for each queue, and checks that the reply satisfies the host's
/// contract exactly.
pub fn queue_records(response: &Response) -> Vec<Value> {
    let json = response.json();
    assert_eq!(response.status, 200, "{json}");
    assert_eq!(response.header("Content-Type").map(|kind| kind.starts_with("application/json")), Some(true));
    assert_eq!(json["Outputs"], serde_json::json!({}), "the function has no output");
    let members: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["Logs", "Outputs", "ReturnValue"], "{json}");
    let records: Vec<_> = strings(&json["Logs"]).into_iter().map(read_record).collect();
    assert!(records.iter().all(|record| record["record"] == "deadLetterQueue"), "{json}");
    records
}

fn strings(value: &Value) -> Vec<&str> {
    let elements = value.as_array().unwrap_or_else(|| panic!("not an array: {value}"));
    elements.iter().map(|element| element.as_str().unwrap_or_else(|| panic!("not a string: {element}"))).collect()
}
