//! The contents of dead letters, their ids, and the overflow for those that are too large for the queue.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{
    batch::{Batch, EventPosition},
    dead_letter::{Attempt, DeadLetter, Directory, Fingerprint, HANDLER_VERSION, MAX_MESSAGE_BYTES, OverflowCache},
    failure::{ErrorClass, Failure, Stage},
    handler::Handler,
};
use devicestate_test_doubles::{
    Envelope, FinalReply, NOW, Operation, ScriptedStore, Sent, StoreResponse, T0, batch, battery, final_reply, handler,
    processor, read_dead_letter, retry_body, source,
};
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest as _, Sha256};

const ID: &str = "2b8c2f6e-0000-4000-8000-000000000002";

fn plain() -> Handler {
    handler(processor(&Arc::new(ScriptedStore::default())))
}

fn with_overflow(path: &Path) -> Handler {
    Handler { overflow: Some(OverflowCache::new(Arc::new(Directory(path.to_owned())))), ..plain() }
}

async fn invoke_final(handler: &Handler, envelope: &Envelope) -> FinalReply {
    final_reply(handler.invoke(ID, &envelope.to_bytes()).await)
}

/// Returns the only dead letter of a reply, and its text.
fn only(reply: &FinalReply) -> (&DeadLetter, &str) {
    let ([letter], [text]) = (reply.dead_letters.as_slice(), reply.messages.as_slice()) else {
        panic!("one dead letter: {:?}", reply.messages)
    };
    (letter, text)
}

fn raw(cell: Option<&RawValue>) -> Option<&str> {
    cell.map(RawValue::get)
}

fn body(letter: &DeadLetter) -> Vec<u8> {
    BASE64.decode(letter.event_data.body.as_deref().expect("a body")).expect("base64")
}

/// Creates a poison event whose properties have this many bytes of JSON.
fn padded(length: usize) -> Sent {
    let properties = format!("{{\"x\":\"{}\"}}", "x".repeat(length - r#"{"x":""}"#.len()));
    assert_eq!(properties.len(), length);
    Sent { properties, ..Sent::new(77, "poison") }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_holds_the_event_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    let sent = Sent {
        number: 42,
        body: bytes.clone(),
        // Spaces, the order of keys, escapes and digits beyond a double remain as the host wrote them.
        partition_key: r#""k\u00e9y \"1\"""#.into(),
        properties: r#"{ "b" :1.10, "a":[1,  2],"n":12345678901234567890123,"e":"\u00fc\n"}"#.into(),
        system_properties:
            r#"{"x-opt-offset":"4704","z":1e2,"a":null,"x-opt-enqueued-time":"2024-11-21T00:46:40+00:00"}"#.into(),
    };
    let reply = invoke_final(&plain(), &Envelope::new([Sent::battery(41, "d", 0.5), sent.clone()])).await;
    assert_eq!(reply.counts(), [1, 0, 1]);
    let (letter, text) = only(&reply);
    let event = &letter.event_data;
    assert_eq!(body(letter), bytes);
    assert_eq!(raw(event.partition_key.as_deref()), Some(sent.partition_key.as_str()));
    assert_eq!(raw(event.properties.as_deref()), Some(sent.properties.as_str()));
    assert_eq!(raw(event.system_properties.as_deref()), Some(sent.system_properties.as_str()));
    assert_eq!(raw(event.sequence_number.as_deref()), Some("42"));
    assert_eq!(raw(event.offset.as_deref()), Some("\"4704\""));
    assert_eq!(raw(event.enqueued_time_utc.as_deref()), Some("\"2024-11-21T00:46:40.042\""));
    assert!(text.contains(&sent.properties) && text.contains(&sent.system_properties), "{text}");
    assert_eq!((letter.stage, letter.error_class, letter.attempt), (Stage::Deserialize, ErrorClass::Poison, 1));
    assert_eq!((letter.invocation_id.as_str(), &letter.source), (ID, &source()));
    assert_eq!((letter.time.as_str(), letter.handler_version.as_str()), ("2024-11-21T00:47:40.000Z", HANDLER_VERSION));
    assert_eq!((&letter.device_state, &letter.overflow, &event.body_cut), (&None, &None, &None));
    let names: Vec<String> = serde_json::from_str::<serde_json::Map<String, Value>>(text)
        .expect("an object")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for of_the_reference in ["Issue", "EventData", "DeviceState"] {
        assert!(names.iter().any(|name| name == of_the_reference), "{names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_has_only_the_state_of_its_own_event() {
    let store = Arc::new(ScriptedStore::default());
    store.always(Operation::Write, "rejected", StoreResponse::rejected());
    let events = [
        Sent::battery(1, "accepted", 0.1),
        Sent::battery(2, "rejected", 0.2),
        Sent::new(3, "nonsense"),
        Sent::battery(4, "rejected", 0.4),
    ];
    let reply = invoke_final(&handler(processor(&store)), &Envelope::new(events)).await;
    let states: Vec<_> = reply.dead_letters.iter().map(|letter| letter.device_state.clone()).collect();
    let state = |battery: f64| Some(json!({"id": "rejected", "Battery": battery}));
    assert_eq!(states, [state(0.2), None, state(0.4)]);
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_dead_letter_is_the_same_in_each_attempt() {
    let handler = plain();
    // The same bytes at other positions, other bytes, and valid events between them.
    let events = (0..20).map(|n| match n % 4 {
        0 => Sent::battery(n, "d", 0.5),
        1 => Sent::new(n, format!("poison {n}")),
        _ => Sent::new(n, "the same poison"),
    });
    let envelope = Envelope::new(events);
    let ids = |reply: &FinalReply| reply.dead_letters.iter().map(|letter| letter.id.clone()).collect::<Vec<_>>();
    let reply = invoke_final(&handler, &envelope).await;
    let first = ids(&reply);
    assert_eq!(first.len(), 15);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 15, "each is different: {first:?}");
    assert!(first.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{first:?}");
    let numbers: Vec<_> = reply.logged.iter().filter_map(|record| record.sequence_number).collect();
    assert_eq!(numbers, (0..20).filter(|n| n % 4 != 0).collect::<Vec<_>>(), "in the batch's order");

    let another = handler.invoke("another invocation", &envelope.retried(3).to_bytes()).await;
    assert_eq!(ids(&final_reply(another)), first);
    // Also in another batch: after a restart the host may form other batches.
    let tail = Envelope::new(envelope.events[5..].to_vec());
    let tail = ids(&invoke_final(&plain(), &tail).await);
    assert_eq!(tail, first[first.len() - tail.len()..]);
}

#[test]
fn different_events_have_different_dead_letter_ids() {
    let base = || {
        let mut event = battery(5, "d", 0.5);
        event.position = Some(EventPosition { enqueued_ms: T0, sequence_number: 5 });
        batch([event])
    };
    let id = |change: fn(&mut Batch)| {
        let mut batch = base();
        change(&mut batch);
        let failure = Failure {
            stage: Stage::Deserialize,
            class: ErrorClass::Poison,
            issue: "poison".into(),
            device_id: None,
            device_state: None,
            other_devices: Vec::new(),
        };
        DeadLetter::new(&batch, 0, &failure, Attempt { invocation_id: ID, number: 1, time_ms: NOW, telemetry: "drone" })
            .id
    };
    let changes: [fn(&mut Batch); 8] = [
        |_| (),
        |batch| batch.source.fully_qualified_namespace.push('2'),
        |batch| batch.source.event_hub_name.push('2'),
        |batch| batch.source.consumer_group.push('2'),
        |batch| batch.source.partition_id.push('2'),
        |batch| batch.events[0].position = Some(EventPosition { enqueued_ms: T0, sequence_number: 6 }),
        |batch| batch.events[0].position = Some(EventPosition { enqueued_ms: T0 + 1, sequence_number: 5 }),
        |batch| batch.events[0].body = [&batch.events[0].body[..], b" "].concat().into(),
    ];
    let ids: BTreeSet<_> = changes.into_iter().map(id).collect();
    assert_eq!(ids.len(), changes.len());
    assert_eq!(id(|batch| batch.events[0].content_type = Some("text/plain".into())), id(|_| ()));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_above_the_size_limit_goes_to_the_overflow() {
    let folder = tempfile::tempdir().expect("a folder");
    let overflow = folder.path().join("made").join("when needed");
    let handler = with_overflow(&overflow);
    let small = invoke_final(&handler, &Envelope::new([padded(100)])).await;
    let exact = 100 + MAX_MESSAGE_BYTES - only(&small).1.len();

    let fits = invoke_final(&handler, &Envelope::new([padded(exact)])).await;
    let (letter, text) = only(&fits);
    assert_eq!((text.len(), letter.overflow.is_none()), (MAX_MESSAGE_BYTES, true));
    assert!(!overflow.exists(), "nothing was stored");

    let sent = padded(exact + 1);
    let reply = invoke_final(&handler, &Envelope::new([sent.clone()])).await;
    let (letter, text) = only(&reply);
    assert!(text.len() <= MAX_MESSAGE_BYTES);
    let pointer = letter.overflow.as_ref().expect("a pointer");
    assert_eq!(letter.event_data.body, None);
    assert_eq!(raw(letter.event_data.partition_key.as_deref()), Some("\"key-77\""));
    assert_eq!(raw(letter.event_data.sequence_number.as_deref()), Some("77"));
    let path = Path::new(&pointer.location);
    assert_eq!(path.parent(), Some(&*overflow));
    let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
    assert_eq!(name.split_once('-'), Some((&*letter.id, &pointer.fingerprint.sha256[..8])));
    let bytes = std::fs::read(path).expect("the file");
    assert_eq!(bytes.len(), MAX_MESSAGE_BYTES + 1);
    assert_eq!(pointer.fingerprint.length, bytes.len());
    assert_eq!(pointer.fingerprint.sha256, format!("{:x}", Sha256::digest(&bytes)));
    let complete = read_dead_letter(&bytes);
    assert_eq!((complete.id.as_str(), body(&complete)), (letter.id.as_str(), sent.body));
    assert_eq!(raw(complete.event_data.properties.as_deref()), Some(sent.properties.as_str()));

    // A repeat replaces the file and leaves no temporary file.
    invoke_final(&handler, &Envelope::new([padded(exact + 1)])).await;
    assert_eq!(std::fs::read_dir(&overflow).expect("the folder").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_truncated_if_the_overflow_fails_in_the_last_attempt() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, "a file").expect("a file");
    let handler = with_overflow(&in_the_way.join("overflow"));
    let large = vec![b'x'; 100_000];
    let envelope = Envelope::new([Sent::battery(1, "d", 0.5), Sent::new(2, large.clone())]);
    let reason = retry_body(handler.invoke(ID, &envelope.to_bytes()).await);
    assert!(reason.contains("DeadLetterDirectory"), "{reason}");

    let reply = invoke_final(&handler, &envelope.with_retry(None)).await;
    assert_eq!(reply.counts(), [0, 1, 1]);
    let (letter, text) = only(&reply);
    assert!(text.len() <= MAX_MESSAGE_BYTES);
    assert_eq!((&letter.overflow, &letter.event_data.body_cut), (&None, &Some(Fingerprint::of_bytes(&large))));
    let kept = body(letter);
    assert!(large.starts_with(&kept) && kept.len() > 30_000, "the largest prefix that fits: {}", kept.len());
}

#[tokio::test(start_paused = true)]
async fn a_truncated_dead_letter_always_fits() {
    let long = |length: usize| format!("\"{}\"", "k".repeat(length));
    let huge = |sent: Sent| Sent { properties: format!("{{\"p\":{}}}", long(200_000)), ..sent };
    let device_id = "\\u0001\u{10348}".repeat(30_000);
    let events = [
        huge(Sent::new(1, "small")),
        Sent { partition_key: long(200_000), ..Sent::new(2, vec![0; 90_000]) },
        huge(Sent {
            partition_key: long(90_000),
            system_properties: format!("[{}]", long(90_000)),
            ..Sent::new(3, "")
        }),
        // The issue repeats the input.
        Sent::new(4, format!(r#"{{"deviceId":"d","flightMode":"{}"}}"#, "\\u0002".repeat(60_000))),
        Sent::new(5, format!(r#"{{"deviceId":"{device_id}","battery":1}}"#)),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for handler in [plain(), with_overflow(folder.path())] {
        let reply = invoke_final(&handler, &Envelope::new(events.clone())).await;
        assert_eq!(reply.counts(), [0, 0, 5]);
        for ((letter, text), sent) in reply.dead_letters.iter().zip(&reply.messages).zip(&events) {
            assert!(text.len() <= MAX_MESSAGE_BYTES, "event {}: {}", sent.number, text.len());
            assert_eq!(raw(letter.event_data.sequence_number.as_deref()), Some(sent.number.to_string().as_str()));
            assert!(!letter.issue.is_empty());
            if handler.overflow.is_some() {
                assert!(letter.overflow.is_some(), "event {}", sent.number);
            } else {
                let kept = body(letter);
                let cut = (kept != sent.body).then(|| Fingerprint::of_bytes(&sent.body));
                assert_eq!(letter.event_data.body_cut, cut, "event {}", sent.number);
                assert!(sent.body.starts_with(&kept), "event {}", sent.number);
                assert!(cut.is_none() || kept.len() > 20_000, "event {}: the largest prefix that fits", sent.number);
                assert!(letter.event_data.properties_cut, "event {}: it is marked", sent.number);
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), events.len());
}

#[tokio::test(start_paused = true)]
async fn an_event_with_an_invalid_value_keeps_its_device_id() {
    let mode = |device: &str| json!({"deviceId": device, "flightMode": 99}).to_string();
    let large = json!({"deviceId": "large", "flightMode": 99, "x": "x".repeat(70_000)}).to_string();
    // Field 1 is the device id, field 3 the flight mode.
    let protobuf = b"\x0a\x04nine\x18\x63".to_vec();
    let events = [
        Sent::new(1, mode("seven")),
        Sent::new(2, protobuf),
        // It cannot be decoded, so its device is not known.
        Sent::new(3, r#"{"deviceId":"eight","battery":"x"}"#),
        // Not worth another parse; the partition key serves.
        Sent::new(4, large),
    ];
    let reply = invoke_final(&plain(), &Envelope::new(events)).await;
    let devices = |letter: &DeadLetter| (letter.stage, letter.device_id.clone());
    let some = |device: &str| Some(device.to_owned());
    let expected = [
        (Stage::Validate, some("seven")),
        (Stage::Validate, some("nine")),
        (Stage::Deserialize, None),
        (Stage::Validate, None),
    ];
    assert_eq!(reply.dead_letters.iter().map(devices).collect::<Vec<_>>(), expected);
}
