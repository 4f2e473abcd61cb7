//! Another kind of device: only its telemetry has to be implemented.

use std::sync::Arc;

use devicestate_engine::{
    batch::Event,
    device_state::Reading,
    failure::Stage,
    telemetry::{Poison, RecordTime, Records, Telemetry},
};
use devicestate_test_doubles::{
    Envelope, Operation, ScriptedStore, Sent, StoreResponse, final_reply, handler, processor_with_telemetry, readings,
    retry_body,
};
use serde_json::{Value, json};

/// Decodes the telemetry of a thermostat, `name;temperature;heating`; unknown values are empty.
struct Thermostat;

impl Telemetry for Thermostat {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let line = str::from_utf8(&event.body).map_err(|error| Poison::Undecodable(format!("not text: {error}")))?;
        let [name, temperature, heating] = line.trim_end().split(';').collect::<Vec<_>>()[..] else {
            return Err(Poison::Undecodable(format!("{line:?} is not name;temperature;heating")));
        };
        let temperature = match temperature {
            "" => Value::Null,
            text => {
                let number: f64 = text.parse().map_err(|_| Poison::Undecodable(format!("{text:?} is not a number")))?;
                if number < -273.15 {
                    return Err(Poison::Invalid(format!("{number} degrees is below absolute zero")));
                }
                Value::from(number)
            }
        };
        let heating = match heating {
            "" => Value::Null,
            text => Value::from(text == "on"),
        };
        for (name, value) in [("Temperature", temperature), ("Heating", heating)] {
            if !value.is_null() {
                records.push(Reading { name: name.into(), value });
            }
        }
        records.finish(name, RecordTime::Service);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn another_device_needs_only_a_telemetry_implementation() {
    let store = Arc::new(ScriptedStore::default());
    let handler = handler(processor_with_telemetry(&store, Arc::new(Thermostat)));
    let lines = ["kitchen;20.5;on", "hall;18;off", "kitchen;;off", "kitchen;21", "hall;-300;on", ";20;on", "hall;;"];
    let envelope = Envelope::new((1..).zip(lines).map(|(number, line)| Sent::new(number, line)));
    store.respond(Operation::Write, "kitchen", [StoreResponse::Panic]);
    retry_body(handler.invoke("thermostats", &envelope.to_bytes()).await);

    let reply = final_reply(handler.invoke("thermostats", &envelope.retried(1).to_bytes()).await);
    let [applied, superseded, dead_lettered] = reply.counts();
    assert_eq!((applied + superseded, dead_lettered), (4, 3));
    let reported: Vec<_> = reply.dead_letters.iter().map(|letter| (letter.stage, letter.issue.as_str())).collect();
    assert_eq!(
        reported,
        [
            (Stage::Deserialize, "\"kitchen;21\" is not name;temperature;heating"),
            (Stage::Validate, "-300 degrees is below absolute zero"),
            (Stage::Validate, "the device id is empty"),
        ]
    );
    let documents = [store.document("kitchen").await, store.document("hall").await];
    let documents = documents.map(|document| readings(&document.expect("a document")));
    assert_eq!(
        documents,
        [json!({"Temperature": 20.5, "Heating": false}), json!({"Temperature": 18.0, "Heating": false})]
    );
}
