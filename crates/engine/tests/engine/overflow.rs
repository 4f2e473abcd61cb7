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
const FOR_AN_EVENT: Duration = Duration::from_millis(20);

/// The number of events in a batch.
const EVENTS: u32 = 200;

/// The scripted result of a put.
enum Put {
    /// Succeeds after this many milliseconds.
    Succeeds(u64),
    /// Fails after this many milliseconds.
    Fails(u64),
    /// Never completes.
    Nothing,
}

/// A slow overflow, scripted by the number of the put.
struct Slow {
    puts: fn(usize) -> Put,
    begun: Mutex<usize>,
    kept: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Slow {
    fn new(puts: fn(usize) -> Put) -> Arc<Self> {
        Arc::new(Self { puts, begun: Mutex::default(), kept: Mutex::default() })
    }

    /// Returns the stored dead letters by location, and checks that none was stored twice.
    fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        let kept = self.kept.lock().expect("no panic").clone();
        let (count, by_name) = (kept.len(), BTreeMap::from_iter(kept));
        assert_eq!(by_name.len(), count, "each has its own name");
        by_name
    }
}

#[async_trait]
impl Overflow for Slow {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let number = {
            let mut begun = self.begun.lock().expect("no panic");
            *begun += 1;
            *begun - 1
        };
        match (self.puts)(number) {
            Put::Succeeds(time) => sleep(Duration::from_millis(time)).await,
            Put::Fails(time) => {
                sleep(Duration::from_millis(time)).await;
                return Err(OverflowError::FileWriteFailed {
                    path: name.into(),
                    error: std::io::Error::other("no more ink"),
                });
            }
            Put::Nothing => std::future::pending().await,
        }
        self.kept.lock().expect("no panic").push((name.to_owned(), bytes));
        Ok(name.to_owned())
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        Ok(self.kept()[location].clone())
    }
}

fn handler(place: &Arc<Slow>, budget: Duration) -> Handler {
    let (store, plain) = rig();
    let processor = Processor { budget, ..devicestate_test_doubles::processor(&store) };
    let overflow = Some(OverflowCache::new(Arc::clone(place) as _));
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
fn assert_all_kept(reply: &FinalReply, envelope: &Envelope, place: &Slow) {
    let kept = place.kept();
    assert_eq!(reply.dead_letters.len(), envelope.events.len());
    for ((letter, logged), sent) in reply.dead_letters.iter().zip(&reply.logged).zip(&envelope.events) {
        let pointer = letter.overflow.as_ref().unwrap_or_else(|| panic!("event {} is cut", sent.number));
        let bytes = &kept[&pointer.location];
        assert_eq!(pointer.fingerprint, Fingerprint::of_bytes(bytes));
        let complete = read_dead_letter(bytes);
        assert_eq!((&complete.id, &logged.dead_letter_id), (&letter.id, &letter.id));
        let body = BASE64.decode(complete.event_data.body.expect("a body")).expect("base64");
        assert!(body == sent.body, "the body of event {}", sent.number);
    }
}

#[tokio::test(start_paused = true)]
async fn large_dead_letters_are_stored_concurrently_and_stay_in_order() {
    // One after the other they would exceed the budget; and those that start later end earlier.
    let place = Slow::new(|number| Put::Succeeds(if number % 2 == 0 { 900 } else { 100 }));
    let handler = handler(&place, BUDGET);
    let (envelope, started) = (batch(), Instant::now());
    let reply = invoke_final(&handler, &envelope).await;
    assert_all_kept(&reply, &envelope, &place);
    assert!(started.elapsed() < BUDGET / 4, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dead_letters_stored_by_an_earlier_attempt_are_not_stored_again() {
    let place = Slow::new(|_| Put::Succeeds(900));
    let budget = Duration::from_secs(1);
    let (handler, envelope) = (handler(&place, budget), batch());
    let mut before = 0;
    for attempt in 0..EVENTS {
        let started = Instant::now();
        let answer = handler.invoke(ID, &envelope.retried(attempt.into()).to_bytes()).await;
        assert!(started.elapsed() <= budget + FOR_AN_EVENT * EVENTS, "{:?}", started.elapsed());
        let kept = place.kept().len();
        assert!(kept > before, "each attempt gets further: {kept} after attempt {attempt}");
        before = kept;
        if let Response::Complete(_) = answer {
            assert!(attempt > 0, "the time was not enough for all at once");
            assert_all_kept(&final_reply(answer), &envelope, &place);
            assert_eq!(kept, EVENTS as usize, "each is stored once");
            return;
        }
    }
    panic!("it is never answered for good");
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_truncates_dead_letters_that_were_not_stored() {
    let place = Slow::new(|number| if number < 20 { Put::Succeeds(10) } else { Put::Nothing });
    let budget = Duration::from_secs(1);
    let (handler, envelope) = (handler(&place, budget), batch());
    invoke_retried(&handler, &envelope).await;
    let started = Instant::now();
    let reply = invoke_final(&handler, &envelope.with_retry(None)).await;
    assert!(started.elapsed() <= budget + FOR_AN_EVENT * EVENTS, "{:?}", started.elapsed());
    let pointing = reply.dead_letters.iter().filter(|letter| letter.overflow.is_some()).count();
    let cut = reply.dead_letters.iter().filter(|letter| letter.event_data.body_cut.is_some()).count();
    assert_eq!((pointing, cut), (20, EVENTS as usize - 20));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_dead_letter_does_not_delay_the_others() {
    let place = Slow::new(|number| if number == 0 { Put::Nothing } else { Put::Succeeds(100) });
    let (handler, envelope) = (handler(&place, BUDGET), batch());
    let reply = invoke_final(&handler, &envelope.with_retry(None)).await;
    let cut: Vec<_> = reply.dead_letters.iter().map(|letter| letter.overflow.is_none()).collect();
    assert_eq!(cut.iter().filter(|cut| **cut).count(), 1);
    assert!(cut[0], "the first");
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_no_write_to_the_overflow_is_started() {
    let place = Slow::new(|number| if number == 3 { Put::Fails(10) } else { Put::Succeeds(100) });
    let (handler, envelope) = (handler(&place, BUDGET), batch());
    let reason = invoke_retried(&handler, &envelope).await;
    assert!(reason.contains("no more ink"), "{reason}");
    let (begun, kept) = (*place.begun.lock().expect("no panic"), place.kept().len());
    assert!(kept == begun - 1 && kept < 20, "{kept} of {begun}");
    assert_all_kept(&invoke_final(&handler, &envelope.retried(1)).await, &envelope, &place);
    assert_eq!(place.kept().len(), EVENTS as usize, "each is stored once");
}

#[tokio::test(start_paused = true)]
async fn a_completed_batch_is_removed_from_the_overflow_cache() {
    let place = Slow::new(|_| Put::Succeeds(1));
    let (handler, envelope) = (handler(&place, BUDGET), Envelope::new([large(1), large(2)]));
    assert_all_kept(&invoke_final(&handler, &envelope).await, &envelope, &place);
    // The operator empties the queue and deletes the dead letters in the overflow.
    place.kept.lock().expect("no panic").clear();
    assert_all_kept(&invoke_final(&handler, &envelope.retried(1)).await, &envelope, &place);
}

/// Without sequence numbers their ids are the same.
#[tokio::test(start_paused = true)]
async fn equal_events_without_positions_are_stored_separately() {
    let place = Slow::new(|number| if number == 2 { Put::Fails(1) } else { Put::Succeeds(1) });
    let handler = handler(&place, BUDGET);
    let events = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"].map(|properties| Sent {
        number: -1,
        properties: properties.into(),
        ..large(0)
    });
    let envelope = Envelope::new(events);
    invoke_retried(&handler, &envelope).await;
    let reply = invoke_final(&handler, &envelope.retried(1)).await;
    assert_all_kept(&reply, &envelope, &place);
    let kept = place.kept();
    for (letter, sent) in reply.dead_letters.iter().zip(&envelope.events) {
        let location = &letter.overflow.as_ref().expect("a pointer").location;
        let complete = read_dead_letter(&kept[location]);
        assert_eq!(complete.event_data.properties.expect("properties").get(), sent.properties);
    }
}
