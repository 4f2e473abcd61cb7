//! Supports another kind of device: a pump that sends `name;litres per minute;state`.
//!
//! Only its telemetry has to be implemented, [`Telemetry::decode_into`]. The engine provides order, versions, conflicts and
//! dead letters. `cargo run --example pump` prints the pump's document.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::{Batch, Event, EventPosition, Source},
    clock::System,
    device_state::Reading,
    processor::{DocumentCache, IotHubTime, Processor, Shared},
    store::{MemoryStore, RequestCharge, StateStore as _},
    telemetry::{Poison, RecordTime, Records, Telemetry},
};

/// Decodes the telemetry of pumps.
struct Pump;

impl Telemetry for Pump {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let undecodable = |problem: &str| Poison::Undecodable(format!("the pump's line has {problem}"));
        let line = str::from_utf8(&event.body).map_err(|_| undecodable("bytes that are not UTF-8"))?;
        let [name, flow, state] = line.trim_end().split(';').collect::<Vec<_>>()[..] else {
            return Err(undecodable("more or fewer than three fields"));
        };
        let flow: f64 = flow.parse().map_err(|_| undecodable("a flow that is not a number"))?;
        if flow < 0.0 {
            return Err(Poison::Invalid(format!("the flow is {flow} litres per minute, and must not be negative")));
        }
        records.push(Reading { name: "LitresPerMinute".into(), value: flow.into() });
        records.push(Reading { name: "State".into(), value: state.into() });
        records.finish(name, RecordTime::Service);
        Ok(())
    }
}

/// Creates a processor for pumps, with documents in memory.
fn processor(store: Arc<MemoryStore>) -> Processor {
    Processor {
        telemetry: Arc::new(Pump),
        store,
        iot_hub_time: IotHubTime::Enqueued,
        cache: DocumentCache::new(0),
        clock: Arc::new(System),
        random: Arc::new(System),
        observer: Arc::new(()),
        budget: Duration::from_mins(1),
        concurrency: 32,
        heard_every: Duration::from_mins(5),
        max_readings: 1000,
        shared: Shared::default(),
    }
}

/// Processes these lines as one batch, and returns the document of pump `p-7`.
async fn document(lines: &[&'static str]) -> String {
    let event = |(number, line): (i64, &&'static str)| Event {
        body: (*line).into(),
        position: Some(EventPosition { enqueued_ms: 1_790_000_000_000 + number, sequence_number: number }),
        ..Event::default()
    };
    let batch = Batch { source: Source::default(), events: (1..).zip(lines).map(event).collect(), ..Batch::default() };
    let store = Arc::new(MemoryStore::default());
    let processed = processor(Arc::clone(&store)).process(&batch).await;
    for (line, outcome) in lines.iter().zip(&processed.outcomes) {
        println!("{line:<16} {outcome:?}");
    }
    let stored = store.read("p-7", &RequestCharge::default()).await.expect("memory does not fail");
    serde_json::to_string_pretty(&stored.expect("a document").document).expect("a document is JSON")
}

#[tokio::main]
async fn main() {
    println!("{}", document(&["p-7;12.5;on", "p-7;-3;on", "p-7;0;off"]).await);
}

#[cfg(test)]
#[tokio::test]
async fn the_last_valid_line_is_the_state_of_the_pump() {
    let document = document(&["p-7;12.5;on", "p-7;-3;on", "p-7;0;off"]).await;
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((&document["LitresPerMinute"], &document["State"]), (&0.0.into(), &"off".into()));
}
