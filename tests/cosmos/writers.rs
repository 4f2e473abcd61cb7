//! Concurrent writers of the same documents.

use std::{sync::Barrier, thread};

use devicestate_test_support::{
    App, Batch, Event, Fold, Handler,
    listener::{Fault, Listener},
};
use serde_json::{Value, json};

use super::{app, battery, deliver, event, test_account::Account};

/// Returns a batch of another partition with this event.
fn other_partition(event: Event) -> Batch {
    Batch::of([event]).partition("7")
}

/// Returns the document that another writer would create from this batch.
fn document_from(batch: &Batch) -> Value {
    let mut documents = Fold::from_batches([batch]).documents();
    documents.pop_first().expect("a document").1
}

fn position(number: i64, device: &str, latitude: f64, longitude: f64) -> Event {
    event(number, device, json!({"position": {"latitude": latitude, "longitude": longitude}}))
}

fn invoke_all_applied(handler: &Handler, batch: &Batch) -> Value {
    let reply = handler.invoke(&batch.clone().retry(0, -1).envelope());
    reply.assert_all_applied(u64::try_from(batch.events().len()).expect("few"));
    reply.batch
}

#[test]
fn a_new_device_gets_its_document() {
    let account = Account::empty();
    let app = account.app();
    let batch =
        Batch::of([battery(1, "drone-1", 0.5), position(2, "drone-1", 47.5, 8.25), battery(3, "drone-2", 0.25)]);
    invoke_all_applied(&app.start(), &batch);
    assert_eq!(account.documents(), Fold::from_batches([&batch]).documents());
    let Some(counters) = account.counters() else { return };
    assert_eq!(
        (counters.status(404), counters.count(&["create"]), counters.count(&["replace"])),
        (2, 2, 0),
        "{counters:?}"
    );
}

#[test]
fn a_device_id_with_reserved_characters_finds_its_document_again() {
    let account = Account::empty();
    let app = account.app().with("DocumentCacheMegabytes", "0");
    let handler = app.start();
    let devices = [
        "a/b\\c?d#e%f",
        "höhe 7",
        "\u{10348}",
        "a+b&c=d",
        "'\"",
        "a.b:c@d",
        " ",
        ".",
        "..",
        "...",
        "ab",
        "a\tb",
        "a\nb",
        "a\rb",
        "a\0b",
        "a\u{85}b",
    ];
    for (number, device) in (1..).zip(devices) {
        let first = Batch::of([battery(number, device, 0.25)]);
        let second = Batch::of([battery(number + 100, device, 0.5)]);
        for batch in [first, second] {
            invoke_all_applied(&handler, &batch);
        }
    }
    let documents = account.documents();
    assert_eq!(documents.len(), devices.len(), "{documents:?}");
    assert!(documents.values().all(|document| document["Battery"] == 0.5), "{documents:?}");
    assert!(documents.contains_key("a~2Fb~5Cc~3Fd~23e~25f"), "{documents:?}");
}

/// 409: another writer created the document after the handler's read.
#[test]
fn a_concurrent_creation_keeps_the_readings_of_both_writers() {
    let listener = Listener::start();
    let app = app(&listener);
    let other = other_partition(position(5, "drone-1", 1.0, 2.0));
    let batch = Batch::of([battery(1, "drone-1", 0.5), position(9, "drone-1", 3.0, 4.0)]);
    listener.put(&document_from(&other));
    // The handler reads before the other writer creates the document.
    listener.fault(Fault::status(404).on(&["read"]).next(1));
    let record = invoke_all_applied(&app.start(), &batch);
    assert_eq!(record["conflicts"], 1, "{record}");
    assert_eq!(listener.documents(), Fold::from_batches([&other, &batch]).documents());
    assert_eq!(listener.counters().status(409), 1);
}

/// 412: another writer changed the document after the handler's read.
#[test]
fn a_concurrent_change_keeps_the_readings_of_both_writers() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let first = Batch::of([battery(1, "drone-1", 0.5)]);
    invoke_all_applied(&handler, &first);
    // Newer than the handler's event in one field, and older in the other.
    let other = other_partition(event(5, "drone-1", json!({"battery": 0.75, "position": {"latitude": 1.0}})));
    listener.put(&Fold::from_batches([&first, &other]).documents()["drone-1"]);
    let second = Batch::of([battery(4, "drone-1", 0.25), position(6, "drone-1", 3.0, 4.0)]);
    let reply = handler.invoke(&second.envelope());
    assert_eq!(reply.counts(), [2, 1, 1, 0], "an event overtaken by the other writer is superseded");
    assert_eq!(reply.batch["conflicts"], 1, "{}", reply.batch);
    assert_eq!(listener.documents(), Fold::from_batches([&first, &other, &second]).documents());
    assert_eq!(listener.counters().status(412), 1);
}

/// In each round, both handlers write the same devices, and at least one has an old copy in its cache.
#[test]
fn two_concurrent_handlers_lose_no_reading() {
    const ROUNDS: i64 = 15;
    const DEVICES: i64 = 8;
    let batch = |round: i64, writer: i64| {
        let events = (0..DEVICES).flat_map(|number| {
            let (device, first) = (format!("drone-{number}"), round * 100 + number * 10 + writer * 5);
            let level = f64::from(i32::try_from(first).expect("small")) / 8.0;
            // Both write one field. Each writer also writes a field of its own, once.
            let own = if writer == 0 { "gyrometerOK" } else { "magnetometerOK" };
            let own = (round == number).then(|| event(first + 1, &device, json!({"health": {own: true}})));
            std::iter::once(battery(first, &device, level)).chain(own)
        });
        Batch::of(events.collect::<Vec<_>>()).partition(&writer.to_string())
    };
    let account = Account::empty();
    let apps = [account.app(), account.app()];
    let handlers = apps.each_ref().map(App::start);
    let together = Barrier::new(2);
    thread::scope(|scope| {
        for (writer, handler) in (0..).zip(&handlers) {
            let (batch, together) = (&batch, &together);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    together.wait();
                    let batch = batch(round, writer);
                    deliver(handler, &batch).assert_no_dead_letter(batch.events().len() as u64);
                }
            });
        }
    });
    let all: Vec<_> = (0..ROUNDS).flat_map(|round| [batch(round, 0), batch(round, 1)]).collect();
    assert_eq!(account.documents(), Fold::from_batches(&all).documents());
    let Some(counters) = account.counters() else { return };
    assert!(counters.status(412) >= 14 * 8, "too few conflicts: {counters:?}");
}

#[test]
fn a_deleted_document_is_created_again_from_the_same_events() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let batch = Batch::of([battery(5, "drone-1", 0.5), battery(6, "drone-2", 0.25)]);
    invoke_all_applied(&handler, &batch);
    listener.delete("drone-1");
    let reply = handler.invoke(&batch.envelope());
    assert_eq!(reply.counts(), [2, 1, 1, 0], "applied to the deleted document, superseded in the other");
    assert_eq!(listener.documents(), Fold::from_batches([&batch]).documents());
}

#[test]
fn a_deleted_document_accepts_older_events() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    invoke_all_applied(&handler, &Batch::of([battery(5, "drone-1", 0.5)]));
    listener.delete("drone-1");
    let older = Batch::of([battery(3, "drone-1", 0.75)]);
    invoke_all_applied(&handler, &older);
    assert_eq!(listener.documents(), Fold::from_batches([&older]).documents());
}

#[test]
fn a_deleted_document_is_created_again_from_newer_events() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    invoke_all_applied(&handler, &Batch::of([battery(5, "drone-1", 0.5)]));
    listener.delete("drone-1");
    let newer = Batch::of([position(7, "drone-1", 1.0, 2.0)]);
    invoke_all_applied(&handler, &newer);
    assert_eq!(listener.documents(), Fold::from_batches([&newer]).documents(), "no document is written from the cache");
}

#[test]
fn a_restored_document_accepts_the_same_events_again() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let first = Batch::of([battery(1, "drone-1", 0.5)]);
    let second = Batch::of([battery(2, "drone-1", 0.25), position(3, "drone-1", 1.0, 2.0)]);
    invoke_all_applied(&handler, &first);
    let backup = listener.documents();
    invoke_all_applied(&handler, &second);
    for _ in 0..2 {
        listener.put(&backup["drone-1"]);
        invoke_all_applied(&handler, &second);
        assert_eq!(listener.documents(), Fold::from_batches([&first, &second]).documents());
    }
    let reply = handler.invoke(&second.envelope());
    assert_eq!(reply.counts(), [2, 0, 2, 0]);
    assert_eq!((&reply.batch["reads"], &reply.batch["writes"]), (&json!(1), &json!(0)), "superseded only after a read");
}

#[test]
fn a_cached_device_costs_one_write_and_no_read_per_batch() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let batches: Vec<_> = (0..10_i32).map(|n| Batch::of([battery(n.into(), "drone-1", f64::from(n))])).collect();
    for batch in &batches {
        invoke_all_applied(&handler, batch);
    }
    let counters = listener.counters();
    assert_eq!((counters.reads(), counters.writes()), (1, 10), "{counters:?}");
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

#[test]
fn a_replayed_batch_overwrites_nothing_newer() {
    let listener = Listener::start();
    let app = app(&listener);
    let batches = [
        Batch::of([battery(10, "drone-1", 0.5), position(11, "drone-1", 1.0, 2.0)]),
        Batch::of([event(4, "drone-1", json!({"battery": 0.1, "flightMode": 2}))]),
    ];
    let handler = app.start();
    for batch in &batches {
        invoke_all_applied(&handler, batch);
    }
    let writes = listener.counters().writes();
    // The second handler is a new process with an empty cache.
    for handler in [handler, app.start()] {
        for batch in &batches {
            let events = u64::try_from(batch.events().len()).expect("few");
            assert_eq!(handler.invoke(&batch.envelope()).counts(), [events, 0, events, 0]);
        }
    }
    assert_eq!(listener.counters().writes(), writes);
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}
