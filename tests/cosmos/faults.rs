//! Requests that fail, whose answers are lost, or that stall.

use std::{
    thread,
    time::{Duration, Instant},
};

use devicestate_test_support::{
    Batch, Fold, Handler,
    listener::{Fault, Listener},
};
use serde_json::json;

use super::{app, battery, deliver, event};

/// A batch of two devices, of which the first one sends twice.
fn batch(first: i64) -> Batch {
    Batch::of([
        battery(first, "drone-1", 0.5),
        event(first + 1, "drone-1", json!({"position": {"altitude": 408.5}})),
        battery(first + 2, "drone-2", 0.25),
    ])
}

/// Delivers two batches, the second over what the first has left in the cache, each with its faults.
///
/// Both must be applied in their first attempt, and the documents be right.
#[track_caller]
fn assert_overcome(faults: impl Fn() -> Vec<Fault>) {
    assert_overcome_by(&Listener::start(), faults);
}

#[track_caller]
fn assert_overcome_by(listener: &Listener, faults: impl Fn() -> Vec<Fault>) {
    let app = app(listener);
    let handler = app.start();
    let batches = [batch(1), batch(11)];
    let mut fault_hits = vec![0; faults().len()];
    for batch in &batches {
        listener.clear_faults();
        for fault in faults() {
            listener.fault(fault);
        }
        handler.invoke(&batch.clone().retry(0, -1).envelope()).assert_all_applied(3);
        for (sum, more) in fault_hits.iter_mut().zip(listener.fault_hits()) {
            *sum += more;
        }
    }
    assert!(fault_hits.iter().all(|fault_hits| *fault_hits > 0), "a fault befell nothing: {fault_hits:?}");
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

/// The client sends a request four times before it gives up.
#[test]
fn bursts_of_503_longer_than_the_clients_own_retries_are_overcome() {
    assert_overcome(|| {
        vec![Fault::status(503).on(&["read"]).next(11), Fault::status(503).on(&["create", "replace"]).next(17)]
    });
}

/// With a second region the client tries that one, too, which takes no writes.
#[test]
fn faults_of_an_account_with_two_regions_are_overcome() {
    let fault = |fault: Fault| fault.on(&["create", "replace"]).next(25);
    for befall in [Fault::status(503), Fault::status(408), Fault::cut(), Fault::lose_answer()] {
        let listener = Listener::with(&["--region", "West Europe", "--region", "North Europe"]);
        assert_overcome_by(&listener, || vec![fault(befall.clone())]);
    }
}

#[test]
fn every_transient_status_is_overcome() {
    for (status, sub_status) in [(408, 0), (410, 0), (410, 1002), (449, 0), (500, 0), (503, 0), (404, 1002)] {
        assert_overcome(|| vec![Fault::status(status).sub_status(sub_status).next(9)]);
    }
}

/// Applied, though the client never hears of it: it asks again and meets its own write. The events are news all the same.
#[test]
fn a_write_whose_answer_is_lost_is_recognised_and_its_events_count_as_applied() {
    for lost in [1, 2, 3, 7] {
        assert_overcome(|| vec![Fault::lose_answer().on(&["create", "replace"]).next(lost)]);
        assert_overcome(|| vec![Fault::lose_answer().on(&["create", "replace"]).id("drone-1").next(lost)]);
    }
}

#[test]
fn a_write_that_was_done_and_is_answered_as_failed_is_recognised() {
    for status in [500, 503, 408] {
        let done = || {
            let fault = Fault::lose_answer().answering(status);
            vec![fault.on(&["create", "replace"]).next(6)]
        };
        assert_overcome(done);
    }
}

#[test]
fn a_read_whose_answer_is_lost_is_read_again() {
    assert_overcome(|| vec![Fault::lose_answer().on(&["read"]).next(5)]);
}

#[test]
fn cut_connections_are_made_again() {
    for next in [1, 9] {
        assert_overcome(|| vec![Fault::cut().next(next)]);
        assert_overcome(|| vec![Fault::cut().on(&["create", "replace"]).next(next)]);
    }
}

#[test]
fn slow_answers_are_waited_for() {
    assert_overcome(|| vec![Fault::delay(Duration::from_millis(300)).next(4)]);
}

/// Sends a batch under a budget while the service stalls; it has to be told to come again, and in time.
#[track_caller]
fn assert_answered_in_time(handler: &Handler, batch: &Batch, budget: Duration) {
    let envelope = batch.clone().retry(0, -1).envelope().to_string();
    let started = Instant::now();
    let response = handler.post("57a11", envelope.as_bytes());
    let took = started.elapsed();
    assert_eq!(response.status, 503, "{}", response.json());
    let dead_letters = Duration::from_millis(20) * u32::try_from(batch.events().len()).expect("few");
    assert!(took <= budget + dead_letters, "{took:?}");
    let reason = response.json()["error"].to_string();
    assert!(reason.contains("InvocationBudget"), "{reason}");
}

fn stall_for_ten_seconds(kind: &str, requests: u64) {
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:03");
    let handler = app.start();
    listener.fault(Fault::delay(Duration::from_secs(10)).on(&[kind]).next(requests));
    let batch = batch(1);
    assert_answered_in_time(&handler, &batch, Duration::from_secs(3));
    let delivered = deliver(&handler, &batch);
    delivered.assert_no_dead_letter(3);
    assert_eq!(listener.documents(), Fold::from_batches([&batch]).documents());
}

#[test]
fn a_stall_of_ten_seconds_is_answered_within_a_budget_of_three() {
    thread::scope(|scope| {
        for (kind, requests) in [("read", 2), ("create", 1), ("create", 2)] {
            scope.spawn(move || stall_for_ten_seconds(kind, requests));
        }
    });
}

/// The service executes a stalled write when nobody waits for it any more.
#[test]
fn a_stalled_write_that_is_done_in_the_end_overwrites_nothing() {
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:01");
    let handler = app.start();
    let batches = [batch(1), batch(11), batch(21)];
    deliver(&handler, &batches[0]);
    listener.fault(Fault::delay(Duration::from_secs(2)).on(&["replace"]).next(2));
    assert_answered_in_time(&handler, &batches[1], Duration::from_secs(1));
    for batch in &batches[1..] {
        deliver(&handler, batch).assert_no_dead_letter(3);
    }
    // The two of the first batch, two of each other, and the two stalled ones, which come too late to be taken.
    listener.until("the stalled writes are refused", |counters| counters.status(412) == 2);
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}
