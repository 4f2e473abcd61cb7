//! The engine and a second, plain reader return the same for any request.

mod requests;
mod system_properties;
mod templates;
mod values;

use std::{collections::BTreeMap, fs};

use devicestate_engine::function_app::{DataType, EventHubTrigger};
use devicestate_test_oracle::plain_envelope::{self as plain, InvalidRequest, read, read_with_engine};
use devicestate_test_support::{recording, recordings, root};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{cases, examples};
use requests::{Sent, sent, trigger};

/// A change of a text.
#[derive(Debug, Clone)]
enum Damage {
    CutAt(Index),
    Flip(Index, u8),
    Delete(Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let any = any::<Index>;
    prop_oneof![
        1 => any().prop_map(Damage::CutAt),
        4 => (any(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => any().prop_map(Damage::Delete),
        2 => (any(), any()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn damaged(request: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = request.as_bytes().to_vec();
    for damage in damages {
        // An empty text has no position to change.
        bytes.push(b' ');
        let length = bytes.len();
        match damage {
            Damage::CutAt(at) => bytes.truncate(at.index(length)),
            Damage::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Damage::Delete(at) => drop(bytes.remove(at.index(length))),
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn both_readers_agree_on_a_request(Sent { trigger, request } in sent()) {
        prop_assert_eq!(read_with_engine(request.as_bytes(), &trigger), read(request.as_bytes(), &trigger));
    }

    #[test]
    fn both_readers_agree_on_a_damaged_request(
        Sent { trigger, request } in sent(), damages in vec(damage(), 1..4),
    ) {
        let request = damaged(&request, &damages);
        prop_assert_eq!(
            read_with_engine(&request, &trigger), read(&request, &trigger), "{}", String::from_utf8_lossy(&request)
        );
    }
}

#[test]
fn both_readers_agree_on_each_recording_with_each_trigger() {
    let mut events = 0;
    for recording in recordings() {
        for is_many in [true, false] {
            for data_type in [DataType::Binary, DataType::String, DataType::Json] {
                let name = if recording.name.starts_with("servicebus-") { "message" } else { "messages" };
                let trigger = EventHubTrigger { name: name.into(), ..trigger(is_many, data_type) };
                let expected = read(&recording.body(), &trigger);
                assert_eq!(read_with_engine(&recording.body(), &trigger), expected, "{} {trigger:?}", recording.name);
                events += expected.map_or(0, |request| request.events.len());
            }
        }
    }
    assert!(events > 1_000, "only {events}");
}

#[test]
fn the_requests_in_the_corpus_of_the_fuzzer_are_recorded_ones() {
    let mut recorded = 0;
    for file in fs::read_dir(root().join("fuzz/corpus/envelope")).expect("the folder") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
            assert_eq!(fs::read(&path).expect("a file"), recording(name).body(), "{name}");
            recorded += 1;
        }
    }
    assert!(recorded >= 10, "only {recorded}");
}

#[test]
fn no_beginning_of_a_recorded_body_is_an_envelope() {
    let mut cuts = 0;
    for recording in recordings() {
        let body = recording.body();
        let trigger = trigger(true, DataType::Binary);
        // Each byte of the most; of those with the text of an exception or a hundred events, a sample.
        let step = if body.len() < 1_200 { 1 } else { body.len() / 97 };
        for cut in (0..body.len()).step_by(step) {
            let read = read_with_engine(&body[..cut], &trigger);
            assert_eq!(read, Err(InvalidRequest::Envelope), "{} after {cut} bytes", recording.name);
            cuts += 1;
        }
    }
    assert!(cuts > 90_000, "only {cuts}");
}

/// A derived struct would accept an array of its members in order.
#[test]
fn an_array_is_never_accepted_as_an_object() {
    let trigger = trigger(true, DataType::String);
    let request = |metadata: &str| format!(r#"{{"Data":{{"messages":["a"]}},"Metadata":{metadata}}}"#);
    let nothing = read_with_engine(request("{}").as_bytes(), &trigger).expect("a request");
    for metadata in [
        r#"{"PartitionContext":["ns","hub","group","3"]}"#,
        r#"{"TriggerPartitionContext":" [\"ns\",\"hub\",\"group\",\"3\"]"}"#,
        r#"{"RetryContext":[1,5]}"#,
    ] {
        assert_eq!(read_with_engine(request(metadata).as_bytes(), &trigger).as_ref(), Ok(&nothing), "{metadata}");
    }
    let metadata = r#"{"SystemPropertiesArray":[["text/plain","d"]]}"#;
    let read = read_with_engine(request(metadata).as_bytes(), &trigger).expect("a request");
    assert_eq!((&read.events[0].content_type, &read.events[0].iot_hub_device_id), (&None, &None));
    assert_eq!(read_with_engine(br#"[{"messages":["a"]},null]"#, &trigger), Err(InvalidRequest::Envelope));
}

#[test]
fn a_system_property_is_found_in_any_spelling_of_its_name() {
    let request =
        r#"{"Data":{"messages":["a"]},"Metadata":{"SystemPropertiesArray":[{"content\u002dtype":"text/plain"}]}}"#;
    let read = read_with_engine(request.as_bytes(), &trigger(true, DataType::String)).expect("a request");
    assert_eq!(read.events[0].content_type.as_deref(), Some("text/plain"));
}

/// Two readers that return nothing would also agree.
#[test]
fn the_generated_requests_have_content() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for Sent { trigger, request } in examples(sent(), 1_000) {
        let Ok(request) = read(request.as_bytes(), &trigger) else {
            *seen.entry("unreadable").or_default() += 1;
            continue;
        };
        let any = |is_so: fn(&plain::Event) -> bool| request.events.iter().any(is_so);
        let all_cells = |event: &plain::Event| event.cells.iter().all(Option::is_some);
        for (what, is_there) in [
            ("several events", request.events.len() > 1),
            ("a retry", request.retry.is_some()),
            ("a complete source", request.source.iter().all(|part| !part.is_empty())),
            ("a body", any(|event| !event.body.is_empty())),
            ("a place", any(|event| event.position.is_some())),
            ("a content type", any(|event| event.content_type.is_some())),
            ("a device", any(|event| event.iot_hub_device_id.is_some())),
            ("a time of IoT Hub", any(|event| event.iot_hub_times[0].is_some())),
            ("a creation time", any(|event| event.iot_hub_times[1].is_some())),
            ("a message source", any(|event| event.iot_hub_message_source.is_some())),
            ("a batch with and without faults", any(|event| event.is_faulty) && any(|event| !event.is_faulty)),
            ("a batch with only faults", any(|_| true) && !any(|event| !event.is_faulty)),
            ("all cells", any(all_cells)),
        ] {
            *seen.entry(what).or_default() += u32::from(is_there);
        }
    }
    assert!(seen.len() == 14 && seen.values().all(|count| *count >= 3), "{seen:?}");
}
