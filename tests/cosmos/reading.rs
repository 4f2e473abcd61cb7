//! Lists, counts and ranges of time: their queries, what they cost, and how they fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate::config::StoreConfig;
use devicestate_azure::CosmosStore;
use devicestate_engine::{
    clock::{Clock, System},
    device_state::Document,
    settings::Settings,
    store::{Filter, Operator, RequestCharge, Scalar, Selection, StateStore, StoreError, WrittenRange},
};
use devicestate_test_support::listener::{Fault, Listener};
use serde_json::{Value, json};

/// A clock that a test sets. It starts an hour ahead, so that no write counts as recent.
struct ManualClock(AtomicI64);

impl ManualClock {
    fn ahead() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(System.now_ms() + 3_600_000)))
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

fn store_with_clock(listener: &Listener, clock: Arc<ManualClock>) -> CosmosStore {
    let mut settings = Settings::default();
    settings.set("StateStore", "cosmos");
    settings.set("CosmosConnection", listener.connection_string());
    match StoreConfig::from_settings(&settings) {
        Ok(StoreConfig::Cosmos(config)) => CosmosStore::with_clock(config, clock),
        other => panic!("no Cosmos DB: {other:?}"),
    }
}

fn store(listener: &Listener) -> CosmosStore {
    store_with_clock(listener, ManualClock::ahead())
}

fn compare(name: &str, operator: Operator, value: impl Into<Value>) -> Filter {
    let value = match value.into() {
        Value::Number(number) => Scalar::Number(number.as_f64().expect("a double")),
        Value::String(text) => Scalar::Text(text),
        Value::Bool(boolean) => Scalar::Boolean(boolean),
        other => panic!("not a scalar: {other}"),
    };
    Filter::Compare { name: name.into(), operator, value }
}

async fn listed(store: &CosmosStore, filter: &Filter) -> Vec<String> {
    let selection = Selection { filter, after: None, limit: 1_000 };
    let page = store.list(selection, &RequestCharge::default()).await.expect("a page");
    page.documents.into_iter().map(|document| document.id).collect()
}

#[tokio::test]
async fn names_and_texts_cannot_change_the_query() {
    let listener = Listener::start();
    let attacks = [
        "\"] = 1 OR true --",
        "'] = 1 OR true --",
        "a\\\"] OR true --",
        "\\",
        "\\u0022] OR true --",
        "@p0",
        "@after",
        "{documentdb-formattableorderbyquery-filter}",
        "/* */",
        "a\nb",
        "\u{0}",
        "x'' OR 1=1",
        "\u{10348}\u{ff5e}",
    ];
    for (index, attack) in attacks.iter().enumerate() {
        let names = serde_json::Map::from_iter([((*attack).to_owned(), json!(attack))]);
        let mut document = json!({"id": format!("d{index}"), "other": attack, "Versions": {}});
        document.as_object_mut().expect("an object").extend(names);
        listener.put(&document);
    }
    listener.put(&json!({"id": "bystander", "other": 1, "Versions": {}}));
    let store = store(&listener);
    for (index, attack) in attacks.iter().enumerate() {
        let only = [format!("d{index}")];
        for filter in [
            compare(attack, Operator::Equal, *attack),
            compare("other", Operator::Equal, *attack),
            Filter::All(vec![Filter::Exists((*attack).into()), compare(attack, Operator::GreaterOrEqual, *attack)]),
        ] {
            assert_eq!(listed(&store, &filter).await, only, "{filter:?}");
            assert_eq!(store.count(&filter, &RequestCharge::default()).await, Ok(1), "{filter:?}");
        }
        for filter in [Filter::Device((*attack).into()), compare("missing", Operator::NotEqual, *attack)] {
            assert_eq!(listed(&store, &filter).await, [] as [&str; 0], "{filter:?}");
        }
    }
}

#[tokio::test]
async fn a_read_of_a_small_document_costs_one_request_unit() {
    let listener = Listener::start();
    listener.put(&json!({"id": "drone-7", "battery": 0.5, "text": "x".repeat(500), "Versions": {}}));
    let store = store(&listener);
    store.read("other", &RequestCharge::default()).await.expect("a connection");
    listener.reset_counters();
    let charge = RequestCharge::default();
    assert!(store.read("drone-7", &charge).await.expect("a read").is_some());
    assert_eq!(listener.counters().request_units.to_bits(), 1.0_f64.to_bits());
    assert_eq!(charge.units().to_bits(), 1.0_f64.to_bits());
}

#[tokio::test]
async fn a_list_costs_by_its_documents_if_the_field_is_indexed_and_by_all_if_it_is_not() {
    const DEVICES: u32 = 200;
    let listener = Listener::with(&["--indexed-path", "/Heard/?", "--indexed-path", "/\"motor.temp\"/?"]);
    for n in 0..DEVICES {
        listener.put(&json!({"id": format!("d{n}"), "motor.temp": n, "battery": n, "Versions": {}}));
    }
    let store = store(&listener);
    listed(&store, &Filter::Device("d1".into())).await;
    let mut charges = Vec::new();
    for name in ["motor.temp", "battery"] {
        let filter = compare(name, Operator::Less, 2);
        for is_count in [false, true] {
            listener.reset_counters();
            let charge = RequestCharge::default();
            if is_count {
                assert_eq!(store.count(&filter, &charge).await, Ok(2));
            } else {
                let selection = Selection { filter: &filter, after: None, limit: 100 };
                assert_eq!(store.list(selection, &charge).await.expect("a page").documents.len(), 2);
            }
            let counters = listener.counters();
            assert_eq!(counters.statuses.keys().collect::<Vec<_>>(), ["200"], "{counters:?}");
            // The plan of the query is the client's own, and not part of a page.
            let of_service =
                counters.request_units - f64::from(u8::try_from(counters.count(&["metadata"])).expect("few"));
            assert!((charge.units() - of_service).abs() < 0.05, "{} of {counters:?}", charge.units());
            charges.push(charge.units());
        }
    }
    assert!(charges[..2].iter().all(|units| *units < 12.0), "{charges:?}");
    let all = f64::from(DEVICES) * 0.3;
    assert!(charges[2..].iter().all(|units| *units > all), "{charges:?}");
}

#[tokio::test]
async fn throttling_and_outages_are_passed_on() {
    let listener = Listener::start();
    listener.put(&json!({"id": "drone-7", "Versions": {}}));
    let store = store(&listener);
    listed(&store, &Filter::EVERY).await;
    let throttled = Fault::status(429).sub_status(3200).retry_after(Duration::from_millis(700)).request_charge(1.25);
    for (fault, expected) in [(throttled, Some(Duration::from_millis(700))), (Fault::status(503), None)] {
        listener.fault(fault.on(&["query"]));
        let charge = RequestCharge::default();
        let filter = Filter::EVERY;
        let range = WrittenRange { filter: &filter, after_ms: 0, until_ms: i64::MAX, limit: 10 };
        for error in [
            store.list(Selection::every(None, 10), &charge).await.map(drop),
            store.count(&filter, &charge).await.map(drop),
            store.written(range, &charge).await.map(drop),
        ] {
            match (error, expected) {
                (Err(StoreError::Throttled { delay, .. }), Some(expected)) => assert_eq!(delay, expected),
                (Err(StoreError::Transient(_)), None) => {}
                (other, _) => panic!("{other:?}"),
            }
        }
        assert!(expected.is_none() || charge.units() >= 3.75, "the requests that were throttled: {}", charge.units());
        listener.clear_faults();
    }
    assert_eq!(listed(&store, &Filter::EVERY).await, ["drone-7"]);
}

/// Many documents of one second are not cut by a page, neither of the client nor of the range.
#[tokio::test]
async fn ranges_of_time_end_at_whole_seconds() {
    const DOCUMENTS: usize = 2_500;
    let listener = Listener::start();
    let clock = ManualClock::ahead();
    let store = Arc::new(store_with_clock(&listener, Arc::clone(&clock)));
    store.count(&Filter::EVERY, &RequestCharge::default()).await.expect("a connection");
    let writers: Vec<_> = (0..10)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in (writer..DOCUMENTS).step_by(10) {
                    let document = Document::new(format!("d{n}"));
                    store.create(&document, &RequestCharge::default()).await.expect("a creation");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let charge = RequestCharge::default();
    let (mut ids, mut after_ms, mut ranges) = (Vec::new(), 0, 0);
    loop {
        let range = WrittenRange { filter: &Filter::EVERY, after_ms, until_ms: i64::MAX, limit: 300 };
        let written = store.written(range, &charge).await.expect("a range");
        let Some(last) = written.last() else { break };
        assert!(written.is_sorted_by_key(|written| written.written_ms) && last.written_ms % 1_000 == 0);
        assert!(written[0].written_ms > after_ms, "the second before was complete");
        after_ms = last.written_ms;
        ranges += 1;
        ids.extend(written.into_iter().map(|written| written.stored.document.id));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), DOCUMENTS);
    assert!(ranges <= DOCUMENTS.div_ceil(300), "{ranges} ranges");
    assert!(charge.units() > 0.0);

    // The last second is settled only when no replica and no clock can add a write.
    for (passed_ms, settled_ms) in [(5_999, after_ms - 1_000), (6_000, after_ms)] {
        clock.0.store(after_ms + passed_ms, Relaxed);
        assert_eq!(store.settled_ms(), settled_ms, "{passed_ms}");
        let range = WrittenRange { filter: &Filter::EVERY, after_ms: after_ms - 1_000, until_ms: i64::MAX, limit: 1 };
        let written = store.written(range, &charge).await.expect("a range");
        assert!(!written.is_empty(), "{passed_ms}: a device that sends all the time has no other write");
    }
}

#[tokio::test]
async fn the_order_of_lists_and_ranges_needs_no_index_of_a_field() {
    let listener = Listener::with(&["--indexed-path", "/Heard/?"]);
    let store = store(&listener);
    // The account refuses an order by any other field.
    assert_eq!(listed(&store, &compare("battery", Operator::Less, 1)).await, [] as [&str; 0]);
    let range = WrittenRange { filter: &Filter::EVERY, after_ms: 0, until_ms: i64::MAX, limit: 10 };
    assert_eq!(store.written(range, &RequestCharge::default()).await, Ok(vec![]));
}
