//! Many large dead letters and a slow overflow: each is stored once, and none delays the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{
    dead_letter::{Fingerprint, Overflow, OverflowCache, OverflowError},
    handler::{Handler, Response},
    processor::Processor,
};
use devicestate_test_doubles::{BUDGET, Envelope, FinalReply, Sent, final_reply, read_dead_letter};
use tokio::time::{Instant, sleep};

use crate::retries::{ID, invoke_final, invoke_retried, rig};

/// The time of a handler for each event of a batch after its budget.
const TIME_PER_EVENT: Duration = Duration::from_millis(20);

/// The number of events in a batch.
const EVENTS: u32 = 200;

/// The scripted result of a put.
enum Put {
    /// Succeeds after this many milliseconds.
    Succeed(u64),
    /// Fails after this many milliseconds.
    Fail(u64),
    /// Never completes.
    Stall,
}

/// An overflow whose results are scripted by the number of the put.
struct ScriptedOverflow {
    puts: fn(usize) -> Put,
    started_puts: Mutex<usize>,
    stored: Mutex<Vec<(String, Vec<u8>)>>,
}

impl ScriptedOverflow {
    fn new(puts: fn(usize) -> Put) -> Arc<Self> {
        Arc::new(Self { puts, started_puts: Mutex::default(), stored: Mutex::default() })
    }

    /// Returns the stored dead letters by location, and checks that none was stored twice.
    fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let stored = self.stored.lock().expect("no panic").clone();
        let (count, by_name) = (stored.len(), BTreeMap::from_iter(stored));
        assert_eq!(by_name.len(), count, "each has its own name");
        by_name
    }
}

#[async_trait]
impl Overflow for ScriptedOverflow {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let number = {
            let mut started_puts = self.started_puts.lock().expect("no panic");
            *started_puts += 1;
            *started_puts - 1
        };
        match (self.puts)(number) {
            Put::Succeed(time) => sleep(Duration::from_millis(time)).await,
            Put::Fail(time) => {
                sleep(Duration::from_millis(time)).await;
                return Err(OverflowError::FileWriteFailed {
                    path: name.into(),
                    error: std::io::Error::other("the disk is full"),
                });
            }
            Put::Stall => std::future::pending().await,
        }
        self.stored.lock().expect("no panic").push((name.to_owned(), bytes));
        Ok(name.to_owned())
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        Ok(self.stored()[location].clone())
    }
}

fn handler(overflow: &Arc<ScriptedOverflow>, budget: Duration) -> Handler {
    let (store, plain) = rig();
    let processor = Processor { budget, ..devicestate_test_doubles::processor(&store) };
    let overflow = Some(OverflowCache::new(Arc::clone(overflow) as _));
    Handler { overflow, processor: Arc::new(processor), ..plain }
}

/// Creates a poison event that does not fit into the queue, with a unique body.
fn large(number: u32) -> Sent {
    Sent::new(number.into(), format!("{number} {}", "x".repeat(40_000)))
}

fn batch() -> Envelope {
    Envelope::new((0..EVENTS).map(large))
}

/// Asserts that each message points to the stored dead letter of its event, in the batch's order.
#[track_caller]
fn assert_all_stored(reply: &FinalReply, envelope: &Envelope, overflow: &ScriptedOverflow) {
    let stored = overflow.stored();
    assert_eq!(reply.dead_letters.len(), envelope.events.len());
    for ((letter, logged), sent) in reply.dead_letters.iter().zip(&reply.logged).zip(&envelope.events) {
        let pointer = letter.overflow.as_ref().unwrap_or_else(|| panic!("event {} was truncated", sent.number));
        let bytes = &stored[&pointer.location];
        assert_eq!(pointer.fingerprint, Fingerprint::of_bytes(bytes));
        let complete = read_dead_letter(bytes);
        assert_eq!((&complete.id, &logged.dead_letter_id), (&letter.id, &letter.id));
        let body = BASE64.decode(complete.event_data.body.expect("a body")).expect("base64");
        assert!(body == sent.body, "the body of event {}", sent.number);
    }
}

#[tokio::test(start_paused = true)]
async fn large_dead_letters_are_stored_concurrently_and_stay_in_order() {
    // Sequential writes would exceed the budget. Every other write ends before the one started before it.
    let overflow = ScriptedOverflow::new(|number| Put::Succeed(if number % 2 == 0 { 900 } else { 100 }));
    let handler = handler(&overflow, BUDGET);
    let (envelope, started) = (batch(), Instant::now());
    let reply = invoke_final(&handler, &envelope).await;
    assert_all_stored(&reply, &envelope, &overflow);
    assert!(started.elapsed() < BUDGET / 4, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dead_letters_stored_by_an_earlier_attempt_are_not_stored_again() {
    let overflow = ScriptedOverflow::new(|_| Put::Succeed(900));
    let budget = Duration::from_secs(1);
    let (handler, envelope) = (handler(&overflow, budget), batch());
    let mut before = 0;
    for attempt in 0..EVENTS {
        let started = Instant::now();
        let answer = handler.invoke(ID, &envelope.retried(attempt.into()).to_bytes()).await;
        assert!(started.elapsed() <= budget + TIME_PER_EVENT * EVENTS, "{:?}", started.elapsed());
        let stored = overflow.stored().len();
        assert!(stored > before, "each attempt stores more: {stored} after attempt {attempt}");
        before = stored;
        if let Response::Complete(_) = answer {
            assert!(attempt > 0, "the budget is too short for one attempt");
            assert_all_stored(&final_reply(answer), &envelope, &overflow);
            assert_eq!(stored, EVENTS as usize, "each is stored once");
            return;
        }
    }
    panic!("the batch was never completed");
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_truncates_dead_letters_that_were_not_stored() {
    let overflow = ScriptedOverflow::new(|number| if number < 20 { Put::Succeed(10) } else { Put::Stall });
    let budget = Duration::from_secs(1);
    let (handler, envelope) = (handler(&overflow, budget), batch());
    invoke_retried(&handler, &envelope).await;
    let started = Instant::now();
    let reply = invoke_final(&handler, &envelope.with_retry(None)).await;
    assert!(started.elapsed() <= budget + TIME_PER_EVENT * EVENTS, "{:?}", started.elapsed());
    let pointing = reply.dead_letters.iter().filter(|letter| letter.overflow.is_some()).count();
    let truncated = reply.dead_letters.iter().filter(|letter| letter.event_data.body_cut.is_some()).count();
    assert_eq!((pointing, truncated), (20, EVENTS as usize - 20));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_dead_letter_does_not_delay_the_others() {
    let overflow = ScriptedOverflow::new(|number| if number == 0 { Put::Stall } else { Put::Succeed(100) });
    let (handler, envelope) = (handler(&overflow, BUDGET), batch());
    let reply = invoke_final(&handler, &envelope.with_retry(None)).await;
    let truncated: Vec<_> = reply.dead_letters.iter().map(|letter| letter.overflow.is_none()).collect();
    assert_eq!(truncated.iter().filter(|truncated| **truncated).count(), 1);
    assert!(truncated[0], "the stalled one");
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_no_write_to_the_overflow_is_started() {
    let overflow = ScriptedOverflow::new(|number| if number == 3 { Put::Fail(10) } else { Put::Succeed(100) });
    let (handler, envelope) = (handler(&overflow, BUDGET), batch());
    let reason = invoke_retried(&handler, &envelope).await;
    assert!(reason.contains("the disk is full"), "{reason}");
    let (started_puts, stored) = (*overflow.started_puts.lock().expect("no panic"), overflow.stored().len());
    assert!(stored == started_puts - 1 && stored < 20, "{stored} of {started_puts}");
    assert_all_stored(&invoke_final(&handler, &envelope.retried(1)).await, &envelope, &overflow);
    assert_eq!(overflow.stored().len(), EVENTS as usize, "each is stored once");
}

#[tokio::test(start_paused = true)]
async fn a_completed_batch_is_removed_from_the_overflow_cache() {
    let overflow = ScriptedOverflow::new(|_| Put::Succeed(1));
    let (handler, envelope) = (handler(&overflow, BUDGET), Envelope::new([large(1), large(2)]));
    assert_all_stored(&invoke_final(&handler, &envelope).await, &envelope, &overflow);
    // The operator empties the queue and deletes the dead letters in the overflow.
    overflow.stored.lock().expect("no panic").clear();
    assert_all_stored(&invoke_final(&handler, &envelope.retried(1)).await, &envelope, &overflow);
}

/// Equal events without sequence numbers have the same id.
#[tokio::test(start_paused = true)]
async fn equal_events_without_positions_are_stored_separately() {
    let overflow = ScriptedOverflow::new(|number| if number == 2 { Put::Fail(1) } else { Put::Succeed(1) });
    let handler = handler(&overflow, BUDGET);
    let events = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"].map(|properties| Sent {
        number: -1,
        properties: properties.into(),
        ..large(0)
    });
    let envelope = Envelope::new(events);
    invoke_retried(&handler, &envelope).await;
    let reply = invoke_final(&handler, &envelope.retried(1)).await;
    assert_all_stored(&reply, &envelope, &overflow);
    let stored = overflow.stored();
    for (letter, sent) in reply.dead_letters.iter().zip(&envelope.events) {
        let location = &letter.overflow.as_ref().expect("a pointer").location;
        let complete = read_dead_letter(&stored[location]);
        assert_eq!(complete.event_data.properties.expect("properties").get(), sent.properties);
    }
}
