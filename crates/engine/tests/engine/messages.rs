//! The message of a dead letter as others see it: its schema, its fields, and what replays that failed leave in it.
//!
//! Wherever a test reads a dead letter, `read_letter` holds it against the schema and against what it is written as
//! again. Here is that the schema is strict, and messages that no other test makes.

use std::borrow::Cow;
use std::{fs, mem::discriminant, sync::Arc};

use bytes::Bytes;
use devicestate_engine::{
    batch::{Batch, Event, MetadataColumn, Source},
    dead_letter::{Attempt, DeadLetter, Fingerprint, MAX_MESSAGE_BYTES, Pointer, Replay},
    failure::{ErrorClass, Failure, Stage},
    function_app::{Cardinality, DataType, Trigger},
    telemetry::{Poison, Readings, Telemetry},
};
use devicestate_test_doubles::{
    Envelope, NOW, ScriptedStore, Sent, batch, battery, final_reply, handler, processor, processor_of, read_letter,
    source,
};
use devicestate_test_support::{
    dead_letter_schema::{read_letter as as_json, schema_errors},
    record_schema::read_record,
};
use serde_json::{Value, json};

fn failure(issue: impl Into<String>, device_id: Option<&str>) -> Failure {
    Failure {
        stage: Stage::Update,
        class: ErrorClass::Transient,
        issue: issue.into(),
        device_id: device_id.map(str::to_owned),
        device_state: None,
    }
}

fn pointer() -> Pointer {
    let fingerprint = Fingerprint { length: MAX_MESSAGE_BYTES + 1, ..Fingerprint::of(b"what is there") };
    Pointer { location: "https://drones.blob.core.windows.net/deadletters/a.json".into(), fingerprint }
}

/// All forms of a dead letter: whole, cut, pointing elsewhere; each as it was made and after a replay that failed.
fn forms(letter: &DeadLetter) -> Vec<String> {
    let mut forms = Vec::new();
    for text in [letter.to_json(), letter.cut(), letter.pointing_at(pointer())] {
        let mut replayed = read_letter(&text);
        replayed.failed_again(&failure("the store is busy", Some("drone-1")), NOW);
        forms.extend([text, replayed.to_json()]);
    }
    forms
}

/// A dead letter with a device and its state, and one with neither. Both are too large for the queue.
fn samples() -> [DeadLetter; 2] {
    [Some("drone-1"), None].map(|device| {
        let mut batch = batch([Event { body: vec![b'x'; 60_000].into(), ..battery(7, "drone-1", 0.5) }]);
        let column = |cell: &str| MetadataColumn::new(format!("[{cell}]"), 1);
        batch.details.sequence_numbers = column("7");
        batch.details.enqueued_times = column("\"2024-11-21T00:46:40.007\"");
        batch.details.properties = column("{\"n\":1.10}");
        let state = device.map(|device| json!({"id": device, "Battery": 0.5}));
        let failure = Failure { device_state: state, ..failure("the document is too large", device) };
        let letter = DeadLetter::new(&batch, 0, &failure, Attempt { invocation_id: "94d0", number: 1, time_ms: NOW });
        read_letter(letter.to_json())
    })
}

/// A telemetry that takes nothing.
struct Refusing;

impl Telemetry for Refusing {
    fn decode_into<'e>(&self, _: &'e Event, _: &mut Readings<'_>) -> Result<Cow<'e, str>, Poison> {
        Err(Poison::Invalid("nothing is valid".into()))
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_host_sends_makes_dead_letters_that_satisfy_the_schema_and_are_written_again_as_they_were() {
    let folder = devicestate_test_support::root().join("tests/fixtures");
    let mut letters = 0;
    for file in fs::read_dir(folder).expect("the fixtures") {
        let path = file.expect("a fixture").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let mut handler = handler(processor_of(&Arc::new(ScriptedStore::default()), Arc::new(Refusing)));
        handler.function.retry = None;
        let Trigger::EventHub(trigger) = &mut handler.function.trigger else { panic!("the function that ships") };
        trigger.cardinality = if name.starts_with("one") { Cardinality::One } else { Cardinality::Many };
        trigger.data_type = match name.rsplit('-').next() {
            Some("string") => DataType::String,
            Some("unset") => DataType::Json,
            _ => DataType::Binary,
        };
        for body in [fs::read(&path).expect("a fixture"), b"no envelope".to_vec()].map(Bytes::from) {
            let reply = final_reply(handler.invoke("94d0", &body).await);
            letters += reply.dead_letters.len();
            for form in reply.dead_letters.iter().flat_map(forms) {
                read_letter(form);
            }
        }
    }
    assert!(letters > 50, "only {letters} dead letters");
}

#[test]
fn the_schema_is_one_and_the_documents_examples_satisfy_it_and_that_of_records() {
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

/// The places of all members of objects, but for those of which the schema says nothing.
fn members(value: &Value, place: &str) -> Vec<String> {
    let Some(object) = value.as_object().filter(|_| !has_any_value(place)) else { return Vec::new() };
    let places = object.iter().flat_map(|(name, member)| {
        let place = format!("{place}/{name}");
        let below = members(member, &place);
        [place].into_iter().chain(below)
    });
    places.collect()
}

/// Whether what stands there is as the host or a device wrote it.
fn has_any_value(place: &str) -> bool {
    place == "/DeviceState" || (place.starts_with("/EventData/") && !place.contains("Body") && !place.ends_with("Cut"))
}

/// The message with another member in the place of this one, or none.
fn with(message: &Value, place: &str, member: Option<(&str, Value)>) -> Value {
    let mut copy = message.clone();
    let (parent, name) = place.rsplit_once('/').expect("a place");
    let parent = copy.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(name).expect("a member");
    parent.extend(member.map(|(name, value)| (name.to_owned(), value)));
    copy
}

#[test]
fn a_message_with_a_field_removed_renamed_or_of_another_type_does_not_satisfy_the_schema() {
    let mut broken = 0;
    for message in samples().iter().flat_map(forms) {
        let message = as_json(&message);
        for place in members(&message, "") {
            let name = place.rsplit('/').next().expect("a name");
            let mut check = |what: &str, copy: &Value| {
                broken += 1;
                assert_ne!(schema_errors(copy), [""; 0], "{place} {what}: {copy:#}");
            };
            let value = message.pointer(&place).expect("a value").clone();
            check("renamed", &with(&message, &place, Some((&format!("{name}2"), value.clone()))));
            check("in lower case", &with(&message, &place, Some((&name.to_lowercase(), value.clone()))));
            if !["Replay", "BodyCut", "PropertiesCut"].contains(&name) {
                check("removed", &with(&message, &place, None));
            }
            if has_any_value(&place) && name != "DeviceState" {
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
                    check(&format!("as {other}"), &with(&message, &place, Some((name, other))));
                }
            }
        }
    }
    assert!(broken > 500, "only {broken}");
}

#[test]
fn values_that_cannot_be_and_fields_that_do_not_go_together_do_not_satisfy_the_schema() {
    let [letter, stateless] = samples();
    let [fetch_complete, _, cut, _, pointing, replayed] =
        <[String; 6]>::try_from(forms(&letter)).expect("six").map(|text| as_json(&text));
    let sha = "0123456789abcdef".repeat(4);
    let cases = [
        (&fetch_complete, "/Id", json!("0123456789ABCDEF0123456789ABCDEF")),
        (&fetch_complete, "/Id", json!("0123456789abcdef")),
        (&fetch_complete, "/Issue", json!("")),
        (&fetch_complete, "/Issue", json!("x".repeat(1_026))),
        (&fetch_complete, "/Stage", json!("Update")),
        (&fetch_complete, "/ErrorClass", json!("fatal")),
        (&fetch_complete, "/DeviceId", json!("x".repeat(1_026))),
        (&fetch_complete, "/DeviceState", json!({"Battery": 0.5})),
        (&fetch_complete, "/Attempt", json!(0)),
        (&fetch_complete, "/Time", json!("2024-11-21 00:47:40")),
        (&fetch_complete, "/HandlerVersion", json!("new")),
        (&fetch_complete, "/EventData/Body", json!("ew=")),
        (&fetch_complete, "/EventData/Body", json!("e w==")),
        (&fetch_complete, "/EventData/Body", json!("ex==")),
        (&fetch_complete, "/EventData/Body", json!("ew==ew==")),
        (&fetch_complete, "/EventData/SequenceNumber", json!({})),
        (&fetch_complete, "/EventData/SequenceNumber", json!("seven")),
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
    for (message, place, value) in cases {
        let name = place.rsplit('/').next().expect("a name");
        let copy = with(message, place, Some((name, value.clone())));
        assert_ne!(schema_errors(&copy), [""; 0], "{place} as {value}");
    }

    let [mut cut_elsewhere, mut kept_and_pointing] = [pointing.clone(), fetch_complete.clone()];
    cut_elsewhere["EventData"]["BodyCut"] = cut["EventData"]["BodyCut"].clone();
    kept_and_pointing["Overflow"] = pointing["Overflow"].clone();
    let mut nameless = as_json(stateless.to_json());
    nameless["DeviceState"] = json!({"id": "drone-1"});
    for message in [cut_elsewhere, kept_and_pointing, nameless] {
        assert_ne!(schema_errors(&message), [""; 0], "{message:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_device_is_told_in_each_form_of_the_message_also_where_its_state_is_not() {
    for (letter, device) in samples().iter().zip([Some("drone-1"), None]) {
        for text in [letter.to_json(), letter.cut(), letter.pointing_at(pointer())] {
            assert_eq!(read_letter(&text).device_id.as_deref(), device, "{text}");
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
fn where_and_why_it_failed_is_told_to_people_in_the_words_of_the_message() {
    for stage in [Stage::Envelope, Stage::Deserialize, Stage::Validate, Stage::Update] {
        assert_eq!(json!(stage), stage.to_string());
    }
    for class in [ErrorClass::Poison, ErrorClass::Transient, ErrorClass::Throttled, ErrorClass::Systemic] {
        assert_eq!(json!(class), class.to_string());
    }
}

#[test]
fn a_message_of_an_earlier_version_can_be_read() {
    let letter = &samples()[0];
    let mut message = as_json(letter.to_json());
    message.as_object_mut().expect("an object").remove("DeviceId").expect("it is there");
    let earlier: DeadLetter = serde_json::from_value(message).expect("a dead letter");
    assert_eq!((earlier.device_id, &earlier.id), (None, &letter.id));
}

#[test]
fn a_replay_that_fails_is_counted_and_told_and_the_letters_own_failure_stays() {
    let [_, mut letter] = samples();
    let own = letter.issue.clone();
    assert_eq!((letter.last_stage(), letter.last_class()), (Stage::Update, ErrorClass::Transient));
    assert_eq!((letter.last_issue(), &letter.replay), (own.as_str(), &None));

    letter.failed_again(&failure("the store is busy", Some("drone-1")), NOW);
    let last = Failure { stage: Stage::Validate, class: ErrorClass::Poison, ..failure("y".repeat(5_000), None) };
    letter.failed_again(&last, NOW + 1);
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
    assert_eq!(letter.device_id.as_deref(), Some("drone-1"), "what the replay could tell stays");
    for text in [letter.to_json(), letter.cut(), letter.pointing_at(pointer())] {
        assert_eq!(read_letter(&text).replay.as_ref(), Some(&replay), "{text}");
    }
}

/// Each character takes six bytes in JSON.
#[test]
fn the_short_forms_fit_into_the_queue_whatever_is_long() {
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
    batch.details.partition_keys = raw(1_022);
    batch.details.sequence_numbers = raw(1_022);
    batch.details.offsets = raw(1_022);
    batch.details.enqueued_times = raw(1_022);
    batch.details.properties = raw(100_000);
    let attempt = Attempt { invocation_id: &long, number: i64::MAX, time_ms: NOW };
    let mut letter = DeadLetter::new(&batch, 0, &failure(&*long, Some(&long)), attempt);
    letter.failed_again(&failure(&*long, None), NOW);
    let location = "x".repeat(4_096);
    for text in [letter.cut(), letter.pointing_at(Pointer { location, ..pointer() })] {
        assert!(text.len() <= MAX_MESSAGE_BYTES, "{}", text.len());
    }

    // Names as they can be are told whole: a version depends on them.
    batch.source = Source { event_hub_name: "h".repeat(256), ..source() };
    let letter = DeadLetter::new(&batch, 0, &failure("x", None), attempt);
    assert_eq!(read_letter(letter.pointing_at(pointer())).source, batch.source);
}
