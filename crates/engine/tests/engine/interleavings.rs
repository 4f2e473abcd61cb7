//! Two concurrent owners of a partition, overlapping and repeated batches, and a store that fails randomly: the documents
//! still equal the fold of the events.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use devicestate_engine::{
    batch::Event,
    device_state::Document,
    processor::{DocumentCache, Outcome, Processor},
};
use devicestate_test_doubles::{
    ANY, Operation, ScriptedStore, StoreResponse, batch, document, event, processor, update, version,
};
use fastrand::Rng;
use serde_json::{Value, json};

const DEVICES: [&str; 3] = ["a", "b", "c"];

/// Creates the readings of one event, as in the document and as the device sends them.
fn telemetry(rng: &mut Rng, device: &str) -> (Value, Value) {
    let number = f64::from(rng.u8(..));
    match rng.u8(0..4) {
        0 => (json!({"Battery": number}), json!({"deviceId": device, "battery": number})),
        1 => (json!({"Altitude": number}), json!({"deviceId": device, "position": {"altitude": number}})),
        2 => (
            json!({"Battery": number, "GyrometerOK": true}),
            json!({"deviceId": device, "battery": number, "health": {"gyrometerOK": true}}),
        ),
        _ => (json!({}), json!({"deviceId": device})),
    }
}

/// Returns a random response of the store.
fn answer(rng: &mut Rng) -> StoreResponse {
    match rng.u8(0..10) {
        0 => StoreResponse::transient(),
        1 | 2 => StoreResponse::lost(),
        3 => StoreResponse::throttled(Duration::from_millis(rng.u64(..200))),
        4 => StoreResponse::systemic(),
        5..8 => StoreResponse::Slow(Duration::from_millis(rng.u64(..200))),
        _ => StoreResponse::Perform,
    }
}

/// Delivers the events to an owner in batches, as the host does: each batch until it is resolved, and sometimes again from
/// an older checkpoint.
async fn own(mut rng: Rng, engine: &Processor, events: &[Event]) {
    let mut checkpoint = 0;
    while checkpoint < events.len() {
        let end = (checkpoint + rng.usize(1..12)).min(events.len());
        let part = batch(events[checkpoint..end].to_vec());
        let processed = loop {
            let processed = engine.process(&part).await;
            assert_eq!(processed.outcomes.len(), part.events.len());
            if !processed.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unresolved(_))) {
                break processed;
            }
        };
        let poison = processed.outcomes.iter().find(|outcome| matches!(outcome, Outcome::Failed(_)));
        assert_eq!(poison, None);
        checkpoint = if rng.u8(0..8) == 0 { rng.usize(..end) } else { end };
    }
}

/// Returns a document as it is stored, without when its device was last heard.
fn without_heard(document: &Document) -> Value {
    let mut document = json!(document);
    document.as_object_mut().expect("an object").remove("Heard");
    document["Versions"].as_object_mut().expect("an object").remove("Heard");
    document
}

#[tokio::test(start_paused = true)]
async fn interleaved_owners_still_produce_the_fold_of_the_events() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut expected: BTreeMap<&str, Document> = BTreeMap::new();
        let store = Arc::new(ScriptedStore::default());
        if rng.bool() {
            // A reading older than all events, which remains if no event overwrites it.
            let before = document("a", version(-1), &json!({"Altitude": -1.0, "FlightMode": 1}));
            store.put(&before).await;
            expected.insert("a", before);
        }
        let events: Vec<_> = (0..60)
            .map(|number| {
                let device = DEVICES[rng.usize(..DEVICES.len())];
                let (readings, body) = telemetry(&mut rng, device);
                let held = expected.entry(device).or_insert_with(|| Document::new(device.to_owned()));
                held.merge(&update(version(number), &readings));
                event(number, &body)
            })
            .collect();
        store.respond(Operation::Read, ANY, (0..60).map(|_| answer(&mut rng)).collect::<Vec<_>>());
        store.respond(Operation::Write, ANY, (0..60).map(|_| answer(&mut rng)).collect::<Vec<_>>());

        // Without a cache, with one that is too small for all devices, and with one that is large enough.
        let heard_every = Duration::from_millis(rng.u64(..20));
        let mut owner = || {
            let cache = DocumentCache::new([0, 600, 1 << 20][rng.usize(..3)]);
            Processor { cache, heard_every, ..processor(&store) }
        };
        let (one, other) = (owner(), owner());
        tokio::join!(own(rng.fork(), &one, &events), own(rng.fork(), &other, &events));
        for (device, expected) in expected {
            let found = store.document(device).await.expect("a document");
            let context = format!("seed {seed}, device {device}");
            assert_eq!(without_heard(&found), without_heard(&expected), "{context}");
            let heard = |document: &Document| document.heard().expect("an event").time_ms;
            let age_ms = u64::try_from(heard(&expected) - heard(&found)).expect("no event is newer");
            assert!(u128::from(age_ms) < heard_every.as_millis().max(1), "{context}: heard {age_ms} ms ago");
        }
    }
}
