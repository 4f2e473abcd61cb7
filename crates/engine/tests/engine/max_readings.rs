//! The limit of the readings of a document.

use std::sync::Arc;

use devicestate_engine::processor::{DocumentCache, Processor};
use devicestate_test_doubles::{
    Operation::{Read, Write},
    ScriptedStore, StoreResponse, batch, document, event, issue, kinds, readings, update, version,
};
use serde_json::{Map, Value, json};

use crate::records;

fn engine(store: &Arc<ScriptedStore>) -> Processor {
    Processor { max_readings: 3, ..records::engine(store) }
}

/// Returns a record of the device `d` with these readings.
fn record(names: &[&str]) -> Value {
    let readings = names.iter().map(|name| ((*name).to_owned(), json!(1)));
    Value::Object(readings.chain([("id".to_owned(), json!("d"))]).collect::<Map<_, _>>())
}

#[tokio::test(start_paused = true)]
async fn a_record_with_too_many_readings_is_poison() {
    let store = Arc::new(ScriptedStore::default());
    let events = [event(1, &json!([record(&["A", "B", "C"])])), event(2, &json!([record(&["A", "B", "C", "D"])]))];
    let processed = engine(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["applied", "failed poison"]);
    assert_eq!(
        issue(&processed, 1),
        "the record has 4 readings, and the setting `MaxReadings` allows 3 in a document: send fewer, or raise the setting"
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_readings_no_longer_fit_into_the_document_is_poison() {
    for cache_bytes in [0, 1 << 20] {
        let store = Arc::new(ScriptedStore::default());
        let engine = Processor { cache: DocumentCache::new(cache_bytes), ..engine(&store) };
        let records = [&["A", "B"][..], &["C"], &["D"], &["A", "E"], &["B"], &["F", "G"]];
        let events = (1..).zip(records).map(|(number, names)| event(number, &json!([record(names)])));
        let processed = engine.process(&batch(events)).await;
        let expected = ["applied", "applied", "failed poison", "failed poison", "applied", "failed poison"];
        assert_eq!(kinds(&processed), expected);
        assert_eq!(
            issue(&processed, 2),
            "the state document \"d\" was not written: it would have 4 readings, and the setting `MaxReadings` allows 3: \
             send fewer names, raise the setting, or remove readings from the document"
        );
        let document = store.document("d").await.expect("a document");
        assert_eq!(readings(&document), json!({"A": 1, "B": 1, "C": 1}));
        assert_eq!((document.version("B"), document.version("A")), (Some(version(5)), Some(version(1))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_has_more_readings_already_is_updated_and_does_not_grow() {
    let store = Arc::new(ScriptedStore::default());
    store.put(&document("d", version(0), &json!({"A": 0, "B": 0, "C": 0, "D": 0, "E": 0}))).await;
    let events = [event(1, &json!([record(&["A", "E"])])), event(2, &json!([record(&["A", "F"])]))];
    let processed = engine(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["applied", "failed poison"]);
    assert_eq!(
        readings(&store.document("d").await.expect("a document")),
        json!({"A": 1, "B": 0, "C": 0, "D": 0, "E": 1})
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_document_that_was_just_read_decides() {
    let store = Arc::new(ScriptedStore::default());
    let engine = Processor { cache: DocumentCache::new(1 << 20), ..engine(&store) };
    engine.process(&batch([event(1, &json!([record(&["A", "B", "C"])]))])).await;
    // An operator removes the readings; the cache still has them.
    store.restore(&document("d", version(1), &json!({"A": 1}))).await;
    let processed = engine.process(&batch([event(2, &json!([record(&["D"])]))])).await;
    assert_eq!(kinds(&processed), ["applied"]);
    assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"A": 1, "D": 1}));
}

#[tokio::test(start_paused = true)]
async fn many_records_that_do_not_fit_cost_one_read() {
    let store = Arc::new(ScriptedStore::default());
    store.put(&document("d", version(0), &json!({"A": 0, "B": 0, "C": 0}))).await;
    let events = (1..100).map(|number| event(number, &json!([record(&[format!("N{number}").as_str()])])));
    let processed = engine(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), vec!["failed poison"; 99]);
    assert_eq!((store.count(Read), store.count(Write)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn records_that_fit_cost_one_write_although_others_between_them_do_not() {
    let store = Arc::new(ScriptedStore::default());
    store.put(&document("d", version(0), &json!({"A": 0, "B": 0}))).await;
    let names = ["A", "C", "B", "D", "C", "E", "A"];
    let events = (1..).zip(names).map(|(number, name)| event(number, &json!([record(&[name])])));
    // Another writer changes the document first.
    store.respond(Write, "d", [StoreResponse::OtherWriterFirst(update(version(0), &json!({"B": 9})))]);
    let processed = engine(&store).process(&batch(events)).await;
    let [fits, full] = ["applied", "failed poison"];
    assert_eq!(kinds(&processed), [fits, fits, fits, full, fits, full, fits]);
    assert_eq!(store.count(Write), 2, "the conflict and its repeat");
    let document = store.document("d").await.expect("a document");
    assert_eq!(["A", "B", "C"].map(|name| document.version(name)), [7, 3, 5].map(|number| Some(version(number))));
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_was_cleared_still_counts() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    engine.process(&batch([event(1, &json!([record(&["A", "B", "C"])]))])).await;
    let processed = engine.process(&batch([event(2, &json!([{"id": "d", "A": null}]))])).await;
    assert_eq!(kinds(&processed), ["applied"]);
    assert_eq!(kinds(&engine.process(&batch([event(3, &json!([record(&["D"])]))])).await), ["failed poison"]);
    // An older event does not bring it back.
    let processed = engine.process(&batch([event(1, &json!([record(&["A"])]))])).await;
    assert_eq!(kinds(&processed), ["superseded"]);
    let stored = json!(store.document("d").await);
    assert_eq!((&stored["A"], &stored["Versions"]["A"]), (&json!(null), &json!(version(2))));
    assert!(stored.as_object().is_some_and(|document| document.contains_key("A")));
}
