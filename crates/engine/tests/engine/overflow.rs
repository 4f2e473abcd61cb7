//! Dead letters too large for the queue, many of them, and a place for them that is slow: each is kept once, and none
//! holds up the others.

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
use devicestate_test_doubles::{BUDGET, Envelope, FinalReply, Sent, final_reply, read_letter};
use tokio::time::{Instant, sleep};

use crate::replies::{ID, answered, rig, sent_again};

/// What a handler may take for each event of a batch beyond its budget.
const FOR_AN_EVENT: Duration = Duration::from_millis(20);

/// So many events make a batch that takes a while, and a test that does not.
const EVENTS: u32 = 200;

/// What becomes of a dead letter.
enum Put {
    /// It is kept after so many milliseconds.
    Kept(u64),
    /// It is refused after so many milliseconds.
    Refused(u64),
    /// Nothing, ever.
    Nothing,
}

/// A place that takes its time, by the number of the put.
struct Slow {
    puts: fn(usize) -> Put,
    begun: Mutex<usize>,
    kept: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Slow {
    fn new(puts: fn(usize) -> Put) -> Arc<Self> {
        Arc::new(Self { puts, begun: Mutex::default(), kept: Mutex::default() })
    }

    /// What it has kept, by where it is; nothing may be there twice.
    fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        let kept = self.kept.lock().expect("no panic").clone();
        let (count, by_name) = (kept.len(), BTreeMap::from_iter(kept));
        assert_eq!(by_name.len(), count, "each under a name of its own");
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
            Put::Kept(time) => sleep(Duration::from_millis(time)).await,
            Put::Refused(time) => {
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

/// Poison that does not fit into the queue, each event with a body of its own.
fn large(number: u32) -> Sent {
    Sent::new(number.into(), format!("{number} {}", "x".repeat(40_000)))
}

fn batch() -> Envelope {
    Envelope::new((0..EVENTS).map(large))
}

/// Each message must point at a dead letter that is kept, of the event at its place in the batch.
#[track_caller]
fn assert_all_kept(reply: &FinalReply, envelope: &Envelope, place: &Slow) {
    let kept = place.kept();
    assert_eq!(reply.dead_letters.len(), envelope.events.len());
    for ((letter, logged), sent) in reply.dead_letters.iter().zip(&reply.logged).zip(&envelope.events) {
        let pointer = letter.overflow.as_ref().unwrap_or_else(|| panic!("event {} is cut", sent.number));
        let bytes = &kept[&pointer.location];
        assert_eq!(pointer.fingerprint, Fingerprint::of_bytes(bytes));
        let fetch_complete = read_letter(bytes);
        assert_eq!((&fetch_complete.id, &logged.dead_letter_id), (&letter.id, &letter.id));
        let body = BASE64.decode(fetch_complete.event_data.body.expect("a body")).expect("base64");
        assert!(body == sent.body, "the body of event {}", sent.number);
    }
}

#[tokio::test(start_paused = true)]
async fn large_dead_letters_are_kept_at_the_same_time_and_stand_in_the_batchs_order() {
    // One behind the other they would take more than the budget; and those that begin later end sooner.
    let place = Slow::new(|number| Put::Kept(if number % 2 == 0 { 900 } else { 100 }));
    let handler = handler(&place, BUDGET);
    let (envelope, started) = (batch(), Instant::now());
    let reply = answered(&handler, &envelope).await;
    assert_all_kept(&reply, &envelope, &place);
    assert!(started.elapsed() < BUDGET / 4, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_that_ran_out_of_time_has_kept_is_not_put_again() {
    let place = Slow::new(|_| Put::Kept(900));
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
            assert_eq!(kept, EVENTS as usize, "each is kept once");
            return;
        }
    }
    panic!("it is never answered for good");
}

#[tokio::test(start_paused = true)]
async fn without_another_attempt_what_was_kept_is_pointed_at_and_the_rest_is_cut() {
    let place = Slow::new(|number| if number < 20 { Put::Kept(10) } else { Put::Nothing });
    let budget = Duration::from_secs(1);
    let (handler, envelope) = (handler(&place, budget), batch());
    sent_again(&handler, &envelope).await;
    let started = Instant::now();
    let reply = answered(&handler, &envelope.with_retry(None)).await;
    assert!(started.elapsed() <= budget + FOR_AN_EVENT * EVENTS, "{:?}", started.elapsed());
    let pointing = reply.dead_letters.iter().filter(|letter| letter.overflow.is_some()).count();
    let cut = reply.dead_letters.iter().filter(|letter| letter.event_data.body_cut.is_some()).count();
    assert_eq!((pointing, cut), (20, EVENTS as usize - 20));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_never_kept_does_not_hold_up_the_others() {
    let place = Slow::new(|number| if number == 0 { Put::Nothing } else { Put::Kept(100) });
    let (handler, envelope) = (handler(&place, BUDGET), batch());
    let reply = answered(&handler, &envelope.with_retry(None)).await;
    let cut: Vec<_> = reply.dead_letters.iter().map(|letter| letter.overflow.is_none()).collect();
    assert_eq!(cut.iter().filter(|cut| **cut).count(), 1);
    assert!(cut[0], "the first");
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_no_more_are_put_and_those_under_way_are_kept() {
    let place = Slow::new(|number| if number == 3 { Put::Refused(10) } else { Put::Kept(100) });
    let (handler, envelope) = (handler(&place, BUDGET), batch());
    let reason = sent_again(&handler, &envelope).await;
    assert!(reason.contains("no more ink"), "{reason}");
    let (begun, kept) = (*place.begun.lock().expect("no panic"), place.kept().len());
    assert!(kept == begun - 1 && kept < 20, "{kept} of {begun}");
    assert_all_kept(&answered(&handler, &envelope.retried(1)).await, &envelope, &place);
    assert_eq!(place.kept().len(), EVENTS as usize, "each is kept once");
}

#[tokio::test(start_paused = true)]
async fn once_a_batch_is_answered_for_good_nothing_of_it_is_remembered() {
    let place = Slow::new(|_| Put::Kept(1));
    let (handler, envelope) = (handler(&place, BUDGET), Envelope::new([large(1), large(2)]));
    assert_all_kept(&answered(&handler, &envelope).await, &envelope, &place);
    // Whoever empties the queue may delete what the messages pointed at.
    place.kept.lock().expect("no panic").clear();
    assert_all_kept(&answered(&handler, &envelope.retried(1)).await, &envelope, &place);
}

/// Without a sequence number their ids are the same.
#[tokio::test(start_paused = true)]
async fn equal_events_without_a_place_are_kept_each_with_its_own_properties() {
    let place = Slow::new(|number| if number == 2 { Put::Refused(1) } else { Put::Kept(1) });
    let handler = handler(&place, BUDGET);
    let events = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"].map(|properties| Sent {
        number: -1,
        properties: properties.into(),
        ..large(0)
    });
    let envelope = Envelope::new(events);
    sent_again(&handler, &envelope).await;
    let reply = answered(&handler, &envelope.retried(1)).await;
    assert_all_kept(&reply, &envelope, &place);
    let kept = place.kept();
    for (letter, sent) in reply.dead_letters.iter().zip(&envelope.events) {
        let location = &letter.overflow.as_ref().expect("a pointer").location;
        let fetch_complete = read_letter(&kept[location]);
        assert_eq!(fetch_complete.event_data.properties.expect("properties").get(), sent.properties);
    }
}
