//! The messages of dead letters: their schema, their fields, and the record of failed replays.
//!
//! Each test that reads a dead letter uses `read_dead_letter`, which validates it and checks that it is written again unchanged.
//! The tests here check that the schema is strict, and messages that no other test creates.

use std::{mem::discriminant, sync::Arc};

use bytes::Bytes;
use devicestate_engine::{
    batch::{Batch, Event, MetadataColumn, Source},
    dead_letter::{Attempt, DeadLetter, Fingerprint, MAX_MESSAGE_BYTES, Pointer, Replay},
    failure::{ErrorClass, Failure, Stage},
    function_app::{Cardinality, DataType, Trigger},
    telemetry::{Poison, Records, Telemetry},
};
use devicestate_test_doubles::{
    Envelope, NOW, ScriptedStore, Sent, batch, battery, final_reply, handler, processor, processor_with_telemetry,
    read_dead_letter, sessions, source,
};
use devicestate_test_support::{
    dead_letter_schema::{read_dead_letter as as_json, schema_errors},
    record_schema::read_record,
    recordings,
};
use serde_json::{Value, json};

fn failure(issue: impl Into<String>, device_id: Option<&str>) -> Failure {
    Failure {
        stage: Stage::Update,
        class: ErrorClass::Transient,
        issue: issue.into(),
        device_id: device_id.map(str::to_owned),
        device_state: None,
        other_devices: Vec::new(),
    }
}

fn pointer() -> Pointer {
    let fingerprint = Fingerprint { length: MAX_MESSAGE_BYTES + 1, ..Fingerprint::of_bytes(b"the stored bytes") };
    Pointer { location: "https://drones.blob.core.windows.net/deadletters/a.json".into(), fingerprint }
}

/// Returns all forms of a dead letter: complete, truncated, with a pointer; each before and after a failed replay.
fn forms(letter: &DeadLetter) -> Vec<String> {
    let mut forms = Vec::new();
    for text in [letter.to_json(), letter.truncated_message(), letter.message_with_pointer(pointer())] {
        let mut replayed = read_dead_letter(&text);
        replayed.add_failed_replay(&failure("the store is busy", Some("drone-1")), NOW);
        forms.extend([text, replayed.to_json()]);
    }
    forms
}

/// Returns a dead letter with a device and its state, and one without. Both are too large for the queue.
fn samples() -> [DeadLetter; 2] {
    [Some("drone-1"), None].map(|device| {
        let mut batch = batch([Event { body: vec![b'x'; 60_000].into(), ..battery(7, "drone-1", 0.5) }]);
        let column = |cell: &str| MetadataColumn::new(format!("[{cell}]"), 1);
        Arc::get_mut(&mut batch.metadata).expect("not shared").sequence_numbers = column("7");
        Arc::get_mut(&mut batch.metadata).expect("not shared").enqueued_times = column("\"2024-11-21T00:46:40.007\"");
        Arc::get_mut(&mut batch.metadata).expect("not shared").properties = column("{\"n\":1.10}");
        let state = device.map(|device| json!({"id": device, "Battery": 0.5}));
        let failure = Failure { device_state: state, ..failure("the document is too large", device) };
        let letter = DeadLetter::new(
            &batch,
            0,
            &failure,
            Attempt { invocation_id: "94d0", number: 1, time_ms: NOW, telemetry: "drone" },
        );
        read_dead_letter(letter.to_json())
    })
}

/// A telemetry that rejects all events.
struct Refusing;

impl Telemetry for Refusing {
    fn decode_into<'e>(&self, _: &'e Event, _: &mut Records<'_, 'e>) -> Result<(), Poison> {
        Err(Poison::Invalid("nothing is valid".into()))
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_of_all_recorded_events_satisfy_the_schema() {
    let mut letters = 0;
    for recording in recordings() {
        let mut handler = handler(processor_with_telemetry(&Arc::new(ScriptedStore::default()), Arc::new(Refusing)));
        handler.function.retry = None;
        let kind: Vec<_> = recording.function().split('-').collect();
        match (&mut handler.function.trigger, kind[0]) {
            (Trigger::EventHub(trigger), data_type @ ("binary" | "string" | "unset")) => {
                trigger.cardinality = if kind[1] == "one" { Cardinality::One } else { Cardinality::Many };
                trigger.data_type = match data_type {
                    "binary" => DataType::Binary,
                    "string" => DataType::String,
                    _ => DataType::Json,
                };
            }
            (trigger, "servicebus") => *trigger = sessions::trigger(),
            // Functions that receive no events.
            _ => continue,
        }
        for body in [recording.body(), b"not an envelope".to_vec()].map(Bytes::from) {
            let reply = final_reply(handler.invoke("94d0", &body).await);
            letters += reply.dead_letters.len();
            for form in reply.dead_letters.iter().flat_map(forms) {
                read_dead_letter(form);
            }
        }
    }
    assert!(letters > 500, "only {letters} dead letters");
}

#[test]
fn the_examples_in_the_docs_satisfy_the_schemas() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../docs/reference/dead-letter.schema.json")).expect("JSON");
    jsonschema::meta::validate(&schema).expect("a schema");
    let document = include_str!("../../../../docs/reference/dead-letters.md");
    let examples: Vec<_> = document.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [example, record] = examples[..] else { panic!("a message and a record: {examples:?}") };
    assert_eq!(read_record(record)["record"], "deadLetterQueue");
    let letter: DeadLetter = serde_json::from_str(example).expect("a dead letter");
    assert_eq!(as_json(letter.to_json()), as_json(example));
}

/// Returns the paths of all members of objects, except those with any value.
fn members(value: &Value, path: &str) -> Vec<String> {
    let Some(object) = value.as_object().filter(|_| !has_any_value(path)) else { return Vec::new() };
    let paths = object.iter().flat_map(|(name, member)| {
        let path = format!("{path}/{name}");
        let below = members(member, &path);
        [path].into_iter().chain(below)
    });
    paths.collect()
}

/// Returns true if the value at this path is from the host or a device, so that the schema allows any value.
fn has_any_value(path: &str) -> bool {
    path == "/DeviceState" || (path.starts_with("/EventData/") && !path.contains("Body") && !path.ends_with("Cut"))
}

/// Returns the message with this member replaced by another one, or removed.
fn with(message: &Value, path: &str, member: Option<(&str, Value)>) -> Value {
    let mut copy = message.clone();
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let parent = copy.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(name).expect("a member");
    parent.extend(member.map(|(name, value)| (name.to_owned(), value)));
    copy
}

#[test]
fn a_dead_letter_with_a_changed_field_violates_the_schema() {
    let mut broken = 0;
    for message in samples().iter().flat_map(forms) {
        let message = as_json(&message);
        for path in members(&message, "") {
            let name = path.rsplit('/').next().expect("a name");
            let mut check = |what: &str, copy: &Value| {
                broken += 1;
                assert_ne!(schema_errors(copy), [""; 0], "{path} {what}: {copy:#}");
            };
            let value = message.pointer(&path).expect("a value").clone();
            check("renamed", &with(&message, &path, Some((&format!("{name}2"), value.clone()))));
            check("in lower case", &with(&message, &path, Some((&name.to_lowercase(), value.clone()))));
            if !["Replay", "Telemetry", "BodyCut", "PropertiesCut"].contains(&name) {
                check("removed", &with(&message, &path, None));
            }
            if has_any_value(&path) && name != "DeviceState" {
                continue;
            }
            let has_state = message["DeviceState"].is_object();
            for other in [json!(null), json!(true), json!(7.5), json!("?"), json!([]), json!({})] {
                let is_fine = match name {
                    "DeviceId" => !has_state && (other.is_null() || other.is_string()),
                    "DeviceState" => other.is_null(),
                    _ => false,
                };
                if !is_fine && discriminant(&other) != discriminant(&value) {
                    check(&format!("as {other}"), &with(&message, &path, Some((name, other))));
                }
            }
        }
    }
    assert!(broken > 500, "only {broken}");
}

#[test]
fn impossible_values_and_combinations_violate_the_schema() {
    let [letter, stateless] = samples();
    let [complete, _, cut, _, pointing, replayed] =
        <[String; 6]>::try_from(forms(&letter)).expect("six").map(|text| as_json(&text));
    let sha = "0123456789abcdef".repeat(4);
    let cases = [
        (&complete, "/Id", json!("0123456789ABCDEF0123456789ABCDEF")),
        (&complete, "/Id", json!("0123456789abcdef")),
        (&complete, "/Issue", json!("")),
        (&complete, "/Issue", json!("x".repeat(1_026))),
        (&complete, "/Stage", json!("Update")),
        (&complete, "/ErrorClass", json!("fatal")),
        (&complete, "/DeviceId", json!("x".repeat(1_026))),
        (&complete, "/DeviceState", json!({"Battery": 0.5})),
        (&complete, "/Attempt", json!(0)),
        (&complete, "/Time", json!("2024-11-21 00:47:40")),
        (&complete, "/HandlerVersion", json!("new")),
        (&complete, "/EventData/Body", json!("ew=")),
        (&complete, "/EventData/Body", json!("e w==")),
        (&complete, "/EventData/Body", json!("ex==")),
        (&complete, "/EventData/Body", json!("ew==ew==")),
        (&complete, "/EventData/SequenceNumber", json!({})),
        (&complete, "/EventData/SequenceNumber", json!("seven")),
        (&cut, "/EventData/BodyCut/Sha256", json!(sha.to_uppercase())),
        (&cut, "/EventData/BodyCut/Length", json!(-1)),
        (&cut, "/EventData/PropertiesCut", json!(false)),
        (&cut, "/EventData/Properties", json!({})),
        (&cut, "/DeviceState", json!({"id": "drone-1"})),
        (&pointing, "/EventData/Body", json!("ew==")),
        (&pointing, "/EventData/Properties", json!({})),
        (&pointing, "/EventData/SystemProperties", json!({})),
        (&pointing, "/DeviceState", json!({"id": "drone-1"})),
        (&pointing, "/Overflow/Location", json!("")),
        (&pointing, "/Overflow/Length", json!(100)),
        (&pointing, "/Overflow/Sha256", json!(sha[1..])),
        (&replayed, "/Replay/Attempts", json!(0)),
        (&replayed, "/Replay/Attempts", json!(u64::MAX)),
        (&replayed, "/Replay/Stage", json!("replay")),
        (&replayed, "/Replay/Time", json!("2024-11-21")),
    ];
    for (message, path, value) in cases {
        let name = path.rsplit('/').next().expect("a name");
        let copy = with(message, path, Some((name, value.clone())));
        assert_ne!(schema_errors(&copy), [""; 0], "{path} as {value}");
    }

    let [mut cut_elsewhere, mut kept_and_pointing] = [pointing.clone(), complete.clone()];
    cut_elsewhere["EventData"]["BodyCut"] = cut["EventData"]["BodyCut"].clone();
    kept_and_pointing["Overflow"] = pointing["Overflow"].clone();
    let mut nameless = as_json(stateless.to_json());
    nameless["DeviceState"] = json!({"id": "drone-1"});
    for message in [cut_elsewhere, kept_and_pointing, nameless] {
        assert_ne!(schema_errors(&message), [""; 0], "{message:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_form_of_a_dead_letter_has_the_device_id() {
    for (letter, device) in samples().iter().zip([Some("drone-1"), None]) {
        for text in [letter.to_json(), letter.truncated_message(), letter.message_with_pointer(pointer())] {
            assert_eq!(read_dead_letter(&text).device_id.as_deref(), device, "{text}");
        }
    }
    let long = "d".repeat(2_000);
    let sent = Sent::battery(1, &long, 0.5);
    let reply = handler(processor(&Arc::default())).invoke("94d0", &Envelope::new([sent]).to_bytes()).await;
    let reply = final_reply(reply);
    assert_eq!(reply.dead_letters[0].device_id, Some(format!("{}…", &long[..1_024])));
    assert_eq!(reply.dead_letters[0].device_id, reply.logged[0].device_id, "as in the log");
}

#[test]
fn stage_and_error_class_are_displayed_as_in_the_message() {
    for stage in [Stage::Envelope, Stage::Deserialize, Stage::Validate, Stage::Update] {
        assert_eq!(json!(stage), stage.to_string());
    }
    for class in [ErrorClass::Poison, ErrorClass::Transient, ErrorClass::Throttled, ErrorClass::Systemic] {
        assert_eq!(json!(class), class.to_string());
    }
}

#[test]
fn a_dead_letter_of_an_earlier_version_can_be_read() {
    let letter = &samples()[0];
    let mut message = as_json(letter.to_json());
    message.as_object_mut().expect("an object").remove("DeviceId").expect("it is there");
    let earlier: DeadLetter = serde_json::from_value(message).expect("a dead letter");
    assert_eq!((earlier.device_id, &earlier.id), (None, &letter.id));
}

#[test]
fn a_failed_replay_is_recorded_in_addition_to_the_first_failure() {
    let [_, mut letter] = samples();
    let own = letter.issue.clone();
    assert_eq!((letter.last_stage(), letter.last_class()), (Stage::Update, ErrorClass::Transient));
    assert_eq!((letter.last_issue(), &letter.replay), (own.as_str(), &None));

    letter.add_failed_replay(&failure("the store is busy", Some("drone-1")), NOW);
    let last = Failure { stage: Stage::Validate, class: ErrorClass::Poison, ..failure("y".repeat(5_000), None) };
    letter.add_failed_replay(&last, NOW + 1);
    let replay = Replay {
        attempts: 2,
        time: "2024-11-21T00:47:40.001Z".into(),
        stage: Stage::Validate,
        error_class: ErrorClass::Poison,
        issue: format!("{}…", "y".repeat(1_024)),
    };
    assert_eq!((letter.last_stage(), letter.last_class()), (Stage::Validate, ErrorClass::Poison));
    assert_eq!(letter.last_issue(), replay.issue);
    assert_eq!((letter.stage, letter.error_class, &letter.issue), (Stage::Update, ErrorClass::Transient, &own));
    assert_eq!(letter.device_id.as_deref(), Some("drone-1"), "the device id of the replay remains");
    for text in [letter.to_json(), letter.truncated_message(), letter.message_with_pointer(pointer())] {
        assert_eq!(read_dead_letter(&text).replay.as_ref(), Some(&replay), "{text}");
    }
}

/// Each character has six bytes in JSON.
#[test]
fn truncated_messages_and_pointers_always_fit_into_the_queue() {
    let long = "\u{1}".repeat(20_000);
    let raw = |length: usize| MetadataColumn::new(format!("[\"{}\"]", "9".repeat(length)), 1);
    let mut batch = Batch {
        source: Source {
            fully_qualified_namespace: long.clone(),
            event_hub_name: long.clone(),
            consumer_group: long.clone(),
            partition_id: long.clone(),
            session_queue_name: long.clone(),
        },
        events: vec![Event { body: vec![0; 100_000].into(), ..Event::default() }],
        ..Batch::default()
    };
    Arc::get_mut(&mut batch.metadata).expect("not shared").partition_keys = raw(1_022);
    Arc::get_mut(&mut batch.metadata).expect("not shared").sequence_numbers = raw(1_022);
    Arc::get_mut(&mut batch.metadata).expect("not shared").offsets = raw(1_022);
    Arc::get_mut(&mut batch.metadata).expect("not shared").enqueued_times = raw(1_022);
    Arc::get_mut(&mut batch.metadata).expect("not shared").properties = raw(100_000);
    let attempt = Attempt { invocation_id: &long, number: i64::MAX, time_ms: NOW, telemetry: "drone" };
    let mut letter = DeadLetter::new(&batch, 0, &failure(&*long, Some(&long)), attempt);
    letter.add_failed_replay(&failure(&*long, None), NOW);
    let location = "x".repeat(4_096);
    for text in [letter.truncated_message(), letter.message_with_pointer(Pointer { location, ..pointer() })] {
        assert!(text.len() <= MAX_MESSAGE_BYTES, "{}", text.len());
    }

    // Names of valid length are not truncated, since versions depend on them.
    batch.source = Source { event_hub_name: "h".repeat(256), ..source() };
    let failure = Failure { stage: Stage::Envelope, ..failure("the position cannot be read", None) };
    let letter = DeadLetter::new(&batch, 0, &failure, attempt);
    assert_eq!(read_dead_letter(letter.message_with_pointer(pointer())).source, batch.source);
}
