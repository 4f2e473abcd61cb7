//! Requests that fail or stall, and lost responses.

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

/// Returns a batch of two devices; the first one has two events.
fn batch(first: i64) -> Batch {
    Batch::of([
        battery(first, "drone-1", 0.5),
        event(first + 1, "drone-1", json!({"position": {"altitude": 408.5}})),
        battery(first + 2, "drone-2", 0.25),
    ])
}

/// Delivers two batches with faults, the second one with documents in the cache. Checks that both are applied in their first
/// attempt and that the documents are right.
#[track_caller]
fn assert_overcome(faults: impl Fn() -> Vec<Fault>) {
    assert_overcome_in(&Listener::start(), faults);
}

#[track_caller]
fn assert_overcome_in(listener: &Listener, faults: impl Fn() -> Vec<Fault>) {
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
        for (sum, hits) in fault_hits.iter_mut().zip(listener.fault_hits()) {
            *sum += hits;
        }
    }
    assert!(fault_hits.iter().all(|hits| *hits > 0), "a fault was not applied: {fault_hits:?}");
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

/// The client tries a request four times.
#[test]
fn more_503_responses_than_the_client_retries_are_overcome() {
    assert_overcome(|| {
        vec![Fault::status(503).on(&["read"]).next(11), Fault::status(503).on(&["create", "replace"]).next(17)]
    });
}

/// The client also tries the second region, which does not accept writes.
#[test]
fn faults_of_an_account_with_two_regions_are_overcome() {
    let fault = |fault: Fault| fault.on(&["create", "replace"]).next(25);
    for kind in [Fault::status(503), Fault::status(408), Fault::disconnect(), Fault::drop_response()] {
        let listener = Listener::with(&["--region", "West Europe", "--region", "North Europe"]);
        assert_overcome_in(&listener, || vec![fault(kind.clone())]);
    }
}

#[test]
fn every_transient_status_is_overcome() {
    for (status, sub_status) in [(408, 0), (410, 0), (410, 1002), (449, 0), (500, 0), (503, 0), (404, 1002)] {
        assert_overcome(|| vec![Fault::status(status).sub_status(sub_status).next(9)]);
    }
}

/// The write is executed without a response: the client retries and conflicts with its own write. The events still count as
/// applied.
#[test]
fn a_write_whose_response_is_lost_is_recognised_and_counts_as_applied() {
    for lost in [1, 2, 3, 7] {
        assert_overcome(|| vec![Fault::drop_response().on(&["create", "replace"]).next(lost)]);
        assert_overcome(|| vec![Fault::drop_response().on(&["create", "replace"]).id("drone-1").next(lost)]);
    }
}

#[test]
fn an_executed_write_with_an_error_response_is_recognised() {
    for status in [500, 503, 408] {
        let faults = || {
            let fault = Fault::drop_response().answering(status);
            vec![fault.on(&["create", "replace"]).next(6)]
        };
        assert_overcome(faults);
    }
}

#[test]
fn a_read_whose_response_is_lost_is_retried() {
    assert_overcome(|| vec![Fault::drop_response().on(&["read"]).next(5)]);
}

#[test]
fn closed_connections_are_opened_again() {
    for next in [1, 9] {
        assert_overcome(|| vec![Fault::disconnect().next(next)]);
        assert_overcome(|| vec![Fault::disconnect().on(&["create", "replace"]).next(next)]);
    }
}

#[test]
fn a_slow_response_does_not_fail_the_attempt() {
    assert_overcome(|| vec![Fault::delay(Duration::from_millis(300)).next(4)]);
}

/// Sends a batch while the service stalls, and checks that the attempt fails within the budget.
#[track_caller]
fn assert_fails_within(handler: &Handler, batch: &Batch, budget: Duration) {
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
    assert_fails_within(&handler, &batch, Duration::from_secs(3));
    let delivered = deliver(&handler, &batch);
    delivered.assert_no_dead_letter(3);
    assert_eq!(listener.documents(), Fold::from_batches([&batch]).documents());
}

#[test]
fn a_stall_of_ten_seconds_fails_the_attempt_within_three_seconds() {
    thread::scope(|scope| {
        for (kind, requests) in [("read", 2), ("create", 1), ("create", 2)] {
            scope.spawn(move || stall_for_ten_seconds(kind, requests));
        }
    });
}

/// The service executes a stalled write after the handler has stopped waiting for it.
#[test]
fn a_stalled_write_overwrites_nothing() {
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:01");
    let handler = app.start();
    let batches = [batch(1), batch(11), batch(21)];
    deliver(&handler, &batches[0]);
    listener.fault(Fault::delay(Duration::from_secs(2)).on(&["replace"]).next(2));
    assert_fails_within(&handler, &batches[1], Duration::from_secs(1));
    for batch in &batches[1..] {
        deliver(&handler, batch).assert_no_dead_letter(3);
    }
    // The stalled writes of both devices come too late and conflict.
    listener.wait_until("the stalled writes are rejected", |counters| counters.status(412) == 2);
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}
