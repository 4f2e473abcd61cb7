//! What a dead letter holds, how it is told from others, and where it goes when the queue will not take it.

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
    processor, read_letter, retry_body, source,
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

async fn answered(handler: &Handler, envelope: &Envelope) -> FinalReply {
    final_reply(handler.invoke(ID, &envelope.to_bytes()).await)
}

/// The only dead letter of a reply, and its text.
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

/// An event that is poison, with properties that are this many bytes of JSON.
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
        // Spaces, the order of keys, escapes and digits that a double cannot hold: all as the host wrote them.
        partition_key: r#""k\u00e9y \"1\"""#.into(),
        properties: r#"{ "b" :1.10, "a":[1,  2],"n":12345678901234567890123,"e":"\u00fc\n"}"#.into(),
        system_properties:
            r#"{"x-opt-offset":"4704","z":1e2,"a":null,"x-opt-enqueued-time":"2024-11-21T00:46:40+00:00"}"#.into(),
    };
    let reply = answered(&plain(), &Envelope::new([Sent::battery(41, "d", 0.5), sent.clone()])).await;
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
async fn a_dead_letter_knows_only_its_own_events_state() {
    let store = Arc::new(ScriptedStore::default());
    store.always(Operation::Write, "bad", StoreResponse::rejected());
    let events = [
        Sent::battery(1, "good", 0.1),
        Sent::battery(2, "bad", 0.2),
        Sent::new(3, "nonsense"),
        Sent::battery(4, "bad", 0.4),
    ];
    let reply = answered(&handler(processor(&store)), &Envelope::new(events)).await;
    let states: Vec<_> = reply.dead_letters.iter().map(|letter| letter.device_state.clone()).collect();
    let state = |battery: f64| Some(json!({"id": "bad", "Battery": battery}));
    assert_eq!(states, [state(0.2), None, state(0.4)]);
}

#[tokio::test(start_paused = true)]
async fn each_failed_event_has_one_dead_letter_whose_id_is_the_same_when_it_is_repeated() {
    let handler = plain();
    // The same bytes at other places, other bytes, and events in between that are good.
    let events = (0..20).map(|n| match n % 4 {
        0 => Sent::battery(n, "d", 0.5),
        1 => Sent::new(n, format!("poison {n}")),
        _ => Sent::new(n, "the same poison"),
    });
    let envelope = Envelope::new(events);
    let ids = |reply: &FinalReply| reply.dead_letters.iter().map(|letter| letter.id.clone()).collect::<Vec<_>>();
    let reply = answered(&handler, &envelope).await;
    let first = ids(&reply);
    assert_eq!(first.len(), 15);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 15, "each is different: {first:?}");
    assert!(first.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{first:?}");
    let numbers: Vec<_> = reply.logged.iter().filter_map(|record| record.sequence_number).collect();
    assert_eq!(numbers, (0..20).filter(|n| n % 4 != 0).collect::<Vec<_>>(), "in the batch's order");

    let another = handler.invoke("another invocation", &envelope.retried(3).to_bytes()).await;
    assert_eq!(ids(&final_reply(another)), first);
    // As part of another batch, too: the host may cut the stream differently.
    let tail = Envelope::new(envelope.events[5..].to_vec());
    let tail = ids(&answered(&plain(), &tail).await);
    assert_eq!(tail, first[first.len() - tail.len()..]);
}

#[test]
fn whatever_tells_two_events_apart_tells_their_ids_apart() {
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
        };
        DeadLetter::new(&batch, 0, &failure, Attempt { invocation_id: ID, number: 1, time_ms: NOW }).id
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
async fn what_just_fits_goes_to_the_queue_and_one_byte_more_to_the_overflow() {
    let folder = tempfile::tempdir().expect("a folder");
    let overflow = folder.path().join("made").join("when needed");
    let handler = with_overflow(&overflow);
    let small = answered(&handler, &Envelope::new([padded(100)])).await;
    let exact = 100 + MAX_MESSAGE_BYTES - only(&small).1.len();

    let fits = answered(&handler, &Envelope::new([padded(exact)])).await;
    let (letter, text) = only(&fits);
    assert_eq!((text.len(), letter.overflow.is_none()), (MAX_MESSAGE_BYTES, true));
    assert!(!overflow.exists(), "nothing was put there");

    let sent = padded(exact + 1);
    let reply = answered(&handler, &Envelope::new([sent.clone()])).await;
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
    let fetch_complete = read_letter(&bytes);
    assert_eq!((fetch_complete.id.as_str(), body(&fetch_complete)), (letter.id.as_str(), sent.body));
    assert_eq!(raw(fetch_complete.event_data.properties.as_deref()), Some(sent.properties.as_str()));

    // A repeat replaces it, and leaves nothing unfinished behind.
    answered(&handler, &Envelope::new([padded(exact + 1)])).await;
    assert_eq!(std::fs::read_dir(&overflow).expect("the folder").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_overflow_cannot_be_written_the_batch_comes_again_and_at_last_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, "no folder").expect("a file");
    let handler = with_overflow(&in_the_way.join("overflow"));
    let large = vec![b'x'; 100_000];
    let envelope = Envelope::new([Sent::battery(1, "d", 0.5), Sent::new(2, large.clone())]);
    let reason = retry_body(handler.invoke(ID, &envelope.to_bytes()).await);
    assert!(reason.contains("DeadLetterDirectory"), "{reason}");

    let reply = answered(&handler, &envelope.with_retry(None)).await;
    assert_eq!(reply.counts(), [0, 1, 1]);
    let (letter, text) = only(&reply);
    assert!(text.len() <= MAX_MESSAGE_BYTES);
    assert_eq!((&letter.overflow, &letter.event_data.body_cut), (&None, &Some(Fingerprint::of_bytes(&large))));
    let kept = body(letter);
    assert!(large.starts_with(&kept) && kept.len() > 30_000, "as much as fits: {}", kept.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_fits_whatever_was_large() {
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
        // The issue repeats what was sent.
        Sent::new(4, format!(r#"{{"deviceId":"d","flightMode":"{}"}}"#, "\\u0002".repeat(60_000))),
        Sent::new(5, format!(r#"{{"deviceId":"{device_id}","battery":1}}"#)),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for handler in [plain(), with_overflow(folder.path())] {
        let reply = answered(&handler, &Envelope::new(events.clone())).await;
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
                assert!(cut.is_none() || kept.len() > 20_000, "event {}: as much as fits", sent.number);
                assert!(letter.event_data.properties_cut, "event {}: what was left out is said", sent.number);
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), events.len());
}
