//! The driver's requests, read with the handler's own code.

use std::collections::{BTreeMap, BTreeSet};

use devicestate_engine::{
    batch::Batch,
    function_app::{Function, FunctionApp},
    invocation::Invocation,
    settings::Settings,
};
use devicestate_test_support::root;
use serde_json::Value;

use crate::{
    driver::{report, run_failing},
    fake_handler::{FakeHandler, Request},
};

/// Drives a fake handler and returns the batches that it received, without the repeated ones.
pub(crate) fn sent(events: usize, options: &[&str]) -> Vec<Request> {
    let handler = FakeHandler::stateful(events);
    report(handler.port, &[&["--events", &events.to_string()], options].concat());
    handler.batches()
}

/// Returns the function of this repository's app.
pub(crate) fn function() -> Function {
    let app = FunctionApp::load(root(), &Settings::default()).expect("the app of this repository");
    app.functions
        .into_iter()
        .find(|function| function.name == "RawTelemetryFunction")
        .expect("the app has this function")
}

/// Returns the batches of each partition, in order of arrival.
fn by_partition(requests: &[Request]) -> BTreeMap<String, Vec<Batch>> {
    let trigger = function().trigger;
    let mut batches = BTreeMap::<_, Vec<_>>::new();
    for request in requests {
        let invocation = Invocation::read(&request.body.clone().into(), &trigger).expect("an envelope");
        assert!(invocation.will_retry(), "the request has the shipped retry policy");
        batches.entry(invocation.batch.source.partition_id.clone()).or_default().push(invocation.batch);
    }
    batches
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

#[test]
fn sequence_numbers_rise_by_one_and_enqueued_times_never_decrease() {
    for framing in [&[][..], &["--content-length"]] {
        let options = [&["--connections", "3", "--batches", "40"], framing].concat();
        let partitions = by_partition(&sent(37, &options));
        assert_eq!(partitions.keys().collect::<Vec<_>>(), ["0", "1", "2"]);
        for batches in partitions.values() {
            assert_eq!(batches.len(), 40);
            let events = || batches.iter().flat_map(|batch| &batch.events);
            assert!(events().all(|event| event.fault.is_none()));
            let positions: Vec<_> = events().map(|event| event.position.expect("a position")).collect();
            assert_eq!(positions.len(), 40 * 37);
            let numbers: Vec<_> = positions.iter().map(|position| position.sequence_number).collect();
            assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
            assert!(positions.is_sorted_by_key(|position| position.enqueued_ms), "{positions:?}");
        }
    }
}

#[test]
fn an_events_metadata_is_the_same_in_every_column() {
    // Enough events that each kind of field crosses a chunk boundary somewhere.
    let partitions = by_partition(&sent(500, &["--connections", "2", "--batches", "3", "--devices", "1000000"]));
    let mut devices = BTreeSet::new();
    for (partition, batches) in &partitions {
        for (batch, index) in batches.iter().flat_map(|batch| (0..500).map(move |index| (batch, index))) {
            let (event, metadata) = (&batch.events[index], &batch.metadata);
            let properties = json(metadata.system_properties.cell(index).expect("a cell").get().as_bytes());
            let device = json(&event.body)["deviceId"].clone();
            assert!(device.as_str().expect("text").starts_with(&format!("drone-{partition:0>2}")), "{device}");
            assert_eq!(metadata.partition_keys.string(index).map(Value::from).as_ref(), Some(&device));
            assert_eq!((&properties["PartitionKey"], &properties["x-opt-partition-key"]), (&device, &device));
            devices.insert(device.to_string());

            let number = json(metadata.sequence_numbers.cell(index).expect("a cell").get().as_bytes());
            assert_eq!((&properties["SequenceNumber"], &properties["x-opt-sequence-number"]), (&number, &number));
            let time = metadata.enqueued_times.string(index).expect("a time");
            assert_eq!(properties["EnqueuedTimeUtc"], time.as_str());
            assert_eq!(properties["x-opt-enqueued-time"], format!("{time}+00:00"));
            assert!(time.len() == 23 && !time.ends_with('0'), "the host drops trailing zeros: {time}");
            let offset = metadata.offsets.string(index).expect("an offset");
            assert_eq!(
                (&properties["OffsetString"], &properties["x-opt-offset"]),
                (&offset.as_str().into(), &offset.as_str().into())
            );
            assert_eq!(properties["Offset"].to_string(), offset);
        }
    }
    assert!(devices.len() > 2_900, "3000 events of a million devices are of {} devices", devices.len());
}

#[test]
fn a_request_is_framed_as_the_host_frames_it() {
    let chunked = sent(20, &["--connections", "2", "--batches", "5"]);
    assert_eq!(chunked.len(), 10);
    for request in &chunked {
        assert_eq!(request.target, "POST /RawTelemetryFunction");
        let (last, full) = request.chunks.split_last().expect("chunks");
        assert!(full.iter().all(|size| *size == 1024) && *last <= 1024, "{:?}", request.chunks);
        assert_eq!(request.header("Content-Type"), Some("application/json; charset=utf-8"));
        assert!(request.header("User-Agent").is_some_and(|agent| agent.starts_with("Azure-Functions-Host/4.")));
        assert!(request.header("X-Azure-Functions-HostVersion").is_some_and(|version| version.starts_with("4.")));
        let envelope = json(&request.body);
        let sys = &envelope["Metadata"]["sys"];
        assert_eq!(sys["MethodName"], "RawTelemetryFunction");
        let now = sys["UtcNow"].as_str().expect("text");
        assert!(now.parse::<jiff::Timestamp>().is_ok(), "{now}");
    }
    let ids = |id: &dyn Fn(&Request) -> String| {
        let ids: BTreeSet<_> = chunked.iter().map(id).collect();
        assert!(ids.iter().all(|id| id.parse::<uuid::Uuid>().is_ok()), "{ids:?}");
        ids.len()
    };
    let invocation = |request: &Request| request.header("X-Azure-Functions-InvocationId").expect("an id").to_owned();
    assert_eq!(ids(&invocation), 10, "each invocation has its own id");
    let guid =
        |request: &Request| json(&request.body)["Metadata"]["sys"]["RandGuid"].as_str().expect("text").to_owned();
    assert_eq!(ids(&guid), 10);

    let options = ["--connections", "1", "--batches", "3", "--content-length", "--function", "Other-Function_2"];
    for request in sent(20, &options) {
        assert_eq!(request.target, "POST /Other-Function_2");
        assert!(request.chunks.is_empty());
        assert_eq!(request.header("Transfer-Encoding"), None);
    }
}

#[test]
fn a_body_has_every_field_and_at_least_the_length_of_the_option() {
    let body_lengths = |options: &[&str]| {
        let partitions = by_partition(&sent(30, &[&["--connections", "1", "--batches", "1"], options].concat()));
        let events = partitions.into_values().flatten().flat_map(|batch| batch.events);
        let lengths = events.map(|event| {
            let body = json(&event.body);
            for field in ["deviceId", "battery", "flightMode", "isKeyFrame", "padding"] {
                assert_eq!(body.get(field).is_some(), field != "padding" || body.get("padding").is_some());
            }
            for field in ["latitude", "longitude", "altitude"] {
                assert!(body["position"][field].is_f64(), "{body}");
            }
            for field in ["gyrometerOK", "accelerometerOK", "magnetometerOK"] {
                assert!(body["health"][field].is_boolean(), "{body}");
            }
            event.body.len()
        });
        lengths.collect::<BTreeSet<_>>()
    };
    let plain = body_lengths(&[]);
    let (shortest, longest) = (*plain.first().expect("bodies"), *plain.last().expect("bodies"));
    assert!(200 < shortest && longest < 300, "{plain:?}");
    for at_least in [shortest, shortest + 1, longest, longest + 1, longest + 20] {
        let lengths = body_lengths(&["--body-bytes", &at_least.to_string()]);
        assert!(lengths.iter().all(|length| *length >= at_least), "{at_least}: {lengths:?}");
    }
    for exact in [5_000, 100_000] {
        assert_eq!(body_lengths(&["--body-bytes", &exact.to_string()]), [exact].into());
    }
}

#[test]
fn a_packed_event_is_an_array_of_records_of_one_device() {
    let mut devices = BTreeSet::new();
    let partitions = by_partition(&sent(40, &["--connections", "2", "--batches", "3", "--pack", "7"]));
    for (partition, batches) in &partitions {
        for (batch, index) in batches.iter().flat_map(|batch| (0..40).map(move |index| (batch, index))) {
            let Value::Array(records) = json(&batch.events[index].body) else { panic!("not an array") };
            let key = batch.metadata.partition_keys.string(index).map(Value::from).expect("a key");
            assert_eq!(records.len(), 7);
            assert!(
                records.iter().all(|record| record["deviceId"] == key && record["battery"].is_f64()),
                "{records:?}"
            );
            assert!(key.as_str().expect("text").starts_with(&format!("drone-{partition:0>2}")));
            devices.insert(key.to_string());
        }
    }
    assert!(devices.len() > 100, "{devices:?}");
}

#[test]
fn a_given_body_is_that_of_each_event_and_the_devices_differ_only_in_their_keys() {
    // Shorter than where the driver's own bodies have the number of their device.
    const BODY: &[u8] = b"\x1f\x8b any";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("body");
    std::fs::write(&file, BODY).expect("a temporary file");
    let options = ["--connections", "1", "--batches", "2", "--body", file.to_str().expect("UTF-8")];
    let mut keys = BTreeSet::new();
    for batch in by_partition(&sent(50, &options)).into_values().flatten() {
        for (index, event) in batch.events.iter().enumerate() {
            assert_eq!(event.body, BODY);
            keys.insert(batch.metadata.partition_keys.string(index).expect("a key"));
        }
    }
    assert!(keys.len() > 10, "{keys:?}");
}

#[test]
fn only_the_first_connection_sends_large_bodies_one_per_batch() {
    let handler = FakeHandler::with_counts(4, 0, 0);
    let options = ["--events", "4", "--connections", "3", "--batches", "3", "--large-body", "2000000"];
    // The handler counts four events also for the batches of one event.
    let stderr = run_failing(handler.port, &options, 1);
    assert!(stderr.contains("27 events were sent") && stderr.contains("counted 36"), "{stderr}");
    let partitions = by_partition(&handler.batches());
    let shapes = |partition: &str| {
        let events = |batch: &Batch| batch.events.iter().map(|event| event.body.len()).collect::<Vec<_>>();
        partitions[partition].iter().map(events).collect::<Vec<_>>()
    };
    assert_eq!(shapes("0"), [[2_000_000], [2_000_000], [2_000_000]]);
    for partition in ["1", "2"] {
        assert!(shapes(partition).iter().all(|sizes| sizes.len() == 4 && sizes.iter().all(|size| *size < 300)));
    }
}

#[test]
fn a_seed_determines_the_devices_and_readings() {
    let bodies = |seed: &str| {
        let partitions = by_partition(&sent(10, &["--connections", "2", "--batches", "3", "--seed", seed]));
        let batches = partitions.into_values().flatten();
        batches.flat_map(|batch| batch.events).map(|event| event.body).collect::<Vec<_>>()
    };
    assert_eq!(bodies("7"), bodies("7"));
    assert_ne!(bodies("7"), bodies("8"));
}
