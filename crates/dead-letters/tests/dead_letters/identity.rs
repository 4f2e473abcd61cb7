//! Which messages are the same dead letter.

use devicestate_dead_letters::Entry;
use devicestate_engine::{batch::Event, dead_letter::DeadLetter, queue::Message};
use devicestate_test_doubles::{batch, battery};

use crate::replaying::dead_letters;

/// Returns the truncated messages of an event that failed twice, with issues of different lengths.
fn truncated_twice(byte: u8) -> [Entry; 2] {
    let batch = batch([Event { body: vec![byte; 60_000].into(), ..battery(7, "drone-1", 0.5) }]);
    let letter = dead_letters(batch).remove(0);
    ["the store is busy", "the store is busy: try again later"].map(|issue| {
        let letter = DeadLetter { issue: issue.into(), ..letter.clone() };
        let body = letter.truncated_message().into_bytes();
        let entry = Entry::parse(Message { id: "1".into(), body, inserted_ms: 0, expires_ms: None, dequeue_count: 0 });
        assert!(entry.summary().is_cut);
        entry
    })
}

#[test]
fn two_truncated_messages_of_an_event_are_one_dead_letter_whatever_their_issues() {
    let ([one, other], [third, _]) = (truncated_twice(b'x'), truncated_twice(b'y'));
    let body = |entry: &Entry| entry.dead_letter().expect("a dead letter").event_data.body.clone();
    assert_ne!(body(&one), body(&other), "another part of the body is kept");
    assert!(one.identity().is_some());
    assert_eq!(one.identity(), other.identity());
    assert_ne!(one.identity(), third.identity());
}
