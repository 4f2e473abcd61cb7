//! A dead letter is read as it was written: complete, from the overflow, or truncated and marked as truncated.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{
    batch::{Batch, Event, EventMetadata, EventPosition, MetadataColumn, Source},
    dead_letter::{
        Attempt, DeadLetter, FetchError, Fingerprint, IdCheck, MAX_MESSAGE_BYTES, Overflow, OverflowError, Pointer,
        event_body, fetch_complete, with_members,
    },
    failure::{ErrorClass, Failure, Stage},
    text::iso8601,
};
use devicestate_test_support::dead_letter_schema::read_dead_letter;
use futures_util::FutureExt as _;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json, value::RawValue};

use crate::{examples, fewer_cases, json};

/// A failed event, and all inputs of its dead letter.
#[derive(Debug, Clone)]
struct Failed {
    source: Source,
    event: Event,
    /// The metadata cells, in the order of [`EventMetadata`].
    cells: [Option<String>; 6],
    failure: Failure,
    invocation_id: String,
    attempt: i64,
    time_ms: i64,
    /// The numbers of other events in the batch, before and after it.
    others: (usize, usize),
}

/// Generates mostly a short text; sometimes one longer than a message, of characters with one byte in JSON, or six.
fn name() -> impl Strategy<Value = String> {
    let enormous = (select(vec!['x', '\u{1}', '"', '\u{10348}']), 1_000..60_000_usize);
    prop_oneof![12 => json::text(12), 1 => enormous.prop_map(|(character, count)| character.to_string().repeat(count))]
}

/// Generates names without the separator in the hash, which no service allows in a name.
fn source() -> impl Strategy<Value = Source> {
    (name(), name(), name(), name()).prop_map(
        |(fully_qualified_namespace, event_hub_name, consumer_group, partition_id)| Source {
            fully_qualified_namespace,
            event_hub_name,
            consumer_group,
            partition_id,
            ..Source::default()
        },
    )
}

/// Generates mostly short bodies, and often some near the limit: base64 of 36 KB is 48 KB.
fn event_bytes() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![6 => 0..40_usize, 2 => 34_000..37_000_usize, 1 => 40_000..90_000_usize];
    (length, any::<u8>(), any::<u8>()).prop_map(|(length, first, step)| {
        (0..length)
            .scan(first, |byte, _| Some(std::mem::replace(byte, byte.wrapping_mul(5).wrapping_add(step))))
            .collect()
    })
}

/// Generates any value, as only a faulty request has it.
fn any_cell() -> impl Strategy<Value = Option<String>> {
    option::of(json::value()).prop_map(|cell| cell.filter(|cell| cell != "null"))
}

/// Generates a partition key or an offset.
fn text_cell() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![3 => json::string(8), 1 => name().prop_map(|text| json::quoted(&text, false))])
}

/// Generates properties.
fn object_cell() -> impl Strategy<Value = Option<String>> {
    let value = prop_oneof![3 => json::value(), 1 => name().prop_map(|text| json::quoted(&text, false))];
    let members = vec((json::string(4), value), 0..4);
    option::of((members, json::spaces()).prop_map(|(members, spaces)| json::object(&members, &spaces)))
}

fn failure() -> impl Strategy<Value = Failure> {
    let stage = select(vec![Stage::Envelope, Stage::Deserialize, Stage::Validate, Stage::Update]);
    let class = select(vec![ErrorClass::Poison, ErrorClass::Transient, ErrorClass::Throttled, ErrorClass::Systemic]);
    let issue = name().prop_map(|text| format!("it failed: {text}"));
    let device = option::of((name(), option::of((name(), json::value()))));
    (stage, class, issue, device).prop_map(|(stage, class, issue, device)| {
        let (device_id, decoded) = device.unzip();
        let device_state = decoded.flatten().map(|(id, reading)| {
            let reading: Value = serde_json::from_str(&reading).expect("JSON");
            json!({ "id": id, "Battery": reading })
        });
        Failure { stage, class, issue, device_id, device_state, other_devices: Vec::new() }
    })
}

fn failed() -> impl Strategy<Value = Failed> {
    let position = option::of((946_684_800_000..4_102_444_800_000_i64, 0..i64::MAX)).prop_map(|position| {
        position.map(|(enqueued_ms, sequence_number)| EventPosition { enqueued_ms, sequence_number })
    });
    let event = (event_bytes(), position).prop_map(|(body, position)| Event {
        body: body.into(),
        position,
        ..Event::default()
    });
    let cells = (any_cell(), Just(None), text_cell(), text_cell(), object_cell(), object_cell());
    let cells = cells.prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f]);
    let attempt = (name(), 1..9_i64, 0..4_102_444_800_000_i64);
    (source(), event, cells, failure(), attempt, (0..2_usize, 0..2_usize)).prop_map(
        |(source, event, mut cells, failure, (invocation_id, attempt, time_ms), others)| {
            // The event's position is that of its cells.
            match event.position {
                Some(EventPosition { enqueued_ms, sequence_number }) => {
                    cells[0] = Some(sequence_number.to_string());
                    cells[1] = Some(format!("\"{}\"", iso8601(enqueued_ms)));
                }
                // A position that cannot be read is a fault of stage envelope.
                None if failure.stage != Stage::Envelope => cells[0] = None,
                None => {}
            }
            Failed { source, event, cells, failure, invocation_id, attempt, time_ms, others }
        },
    )
}

impl Failed {
    fn letter(&self) -> DeadLetter {
        let (before, after) = self.others;
        let count = before + 1 + after;
        let alone = |index: usize| index == before;
        let column = |cell: &Option<String>| {
            let cells: Vec<_> =
                (0..count).map(|index| cell.as_deref().filter(|_| alone(index)).unwrap_or("null")).collect();
            MetadataColumn::new(format!("[ {} ]", cells.join(" , ")), count)
        };
        let [sequence_numbers, enqueued_times, partition_keys, offsets, properties, system_properties] =
            self.cells.each_ref().map(column);
        let metadata =
            EventMetadata { sequence_numbers, enqueued_times, partition_keys, offsets, properties, system_properties };
        let events = (0..count).map(|index| if alone(index) { self.event.clone() } else { Event::default() }).collect();
        let batch = Batch { source: self.source.clone(), events, metadata: metadata.into(), message: None };
        let attempt = Attempt {
            invocation_id: &self.invocation_id,
            number: self.attempt,
            time_ms: self.time_ms,
            telemetry: "drone",
        };
        DeadLetter::new(&batch, before, &self.failure, attempt)
    }
}

fn read(text: &str) -> DeadLetter {
    serde_json::from_str(text).expect("a dead letter")
}

/// Checks that a text is a valid message that is written again unchanged.
fn is_a_message(text: &str) -> Result<(), TestCaseError> {
    read_dead_letter(text);
    prop_assert_eq!(read(text).to_json(), text, "it is written again unchanged");
    Ok(())
}

/// An overflow in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl Overflow for Memory {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let location = format!("memory/{name}.json");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(location.clone(), bytes);
        Ok(location)
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(location).cloned();
        kept.ok_or_else(|| OverflowError::InvalidLocation { location: location.into() })
    }
}

/// Returns the result of a future that completes at the first poll.
fn poll_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("a future without waiting")
}

/// Generates the members of an object, possibly with duplicate names.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[a-c]é?", json::value()), 0..5)
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

/// The oracle for [`with_members`].
fn changed(mut members: Vec<(String, String)>, changes: &[(&str, &str)]) -> String {
    for (name, value) in changes {
        match members.iter().position(|(member, _)| member == name) {
            Some(position) => (*value).clone_into(&mut members[position].1),
            None => members.push(((*name).to_owned(), (*value).to_owned())),
        }
    }
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #![proptest_config(fewer_cases())]

    #[test]
    fn a_dead_letter_is_read_as_it_was_written(failed in failed()) {
        let letter = failed.letter();
        let text = letter.to_json();
        is_a_message(&text)?;
        let read = read(&text);
        prop_assert_eq!(event_body(&read), Ok(failed.event.body.to_vec()));
        let data = &read.event_data;
        let cells = [
            &data.sequence_number,
            &data.enqueued_time_utc,
            &data.partition_key,
            &data.offset,
            &data.properties,
            &data.system_properties,
        ];
        prop_assert_eq!(cells.map(|cell| cell.as_ref().map(|cell| cell.get().to_owned())), failed.cells);
        prop_assert_eq!((&read.source, &read.invocation_id), (&failed.source, &failed.invocation_id));
        prop_assert_eq!((read.stage, read.error_class), (failed.failure.stage, failed.failure.class));
        prop_assert_eq!(read.device_state, failed.failure.device_state);
        for (stored, complete) in [(Some(read.issue), Some(failed.failure.issue)), (read.device_id, failed.failure.device_id)] {
            let is_preserved = match (&stored, &complete) {
                (Some(stored), Some(complete)) => stored == complete || complete.starts_with(stored.strip_suffix('…').unwrap_or("-")),
                (stored, complete) => stored == complete,
            };
            prop_assert!(is_preserved, "{:?} of {:?}", stored, complete);
        }
    }

    #[test]
    fn a_dead_letter_is_complete_in_the_queue_or_the_overflow(failed in failed()) {
        let letter = failed.letter();
        let text = letter.to_json();
        prop_assert_eq!(letter.message(), (text.len() <= MAX_MESSAGE_BYTES).then(|| text.clone()));
        if letter.message().is_some() {
            return Ok(());
        }
        let overflow = Memory::default();
        let pointer = poll_once(letter.store_in(&overflow)).expect("kept");
        let message = letter.message_with_pointer(pointer.clone());
        is_a_message(&message)?;
        prop_assert!(message.len() <= MAX_MESSAGE_BYTES, "{} bytes", message.len());
        let received = read(&message);
        prop_assert_eq!(received.overflow.as_ref(), Some(&pointer));
        prop_assert_eq!(poll_once(pointer.fetch(&overflow)).expect("it is there"), text.as_bytes());
        prop_assert_eq!(poll_once(fetch_complete(&received, Some(&overflow))).expect("it is there").to_json(), text);
        overflow.0.lock().expect("no other thread").values_mut().for_each(|kept| kept[9] ^= 1);
        let is_refused = matches!(poll_once(pointer.fetch(&overflow)), Err(OverflowError::Changed { .. }));
        prop_assert!(is_refused, "the content was changed");
    }

    #[test]
    fn a_message_with_a_pointer_always_fits(failed in failed(), location in name(), again in failure()) {
        let mut letter = failed.letter();
        letter.add_failed_replay(&again, failed.time_ms);
        // No path or URL is longer.
        let location: String = std::iter::once('/').chain(location.chars().take(1_024)).collect();
        let fingerprint = Fingerprint { length: usize::MAX, ..Fingerprint::of_bytes(b"") };
        let message = letter.message_with_pointer(Pointer { location, fingerprint });
        prop_assert!(message.len() <= MAX_MESSAGE_BYTES, "{} bytes", message.len());
        is_a_message(&message)?;
        prop_assert_eq!(read(&message).id, letter.id);
    }

    #[test]
    fn a_truncated_message_fits_and_is_marked(failed in failed()) {
        let letter = failed.letter();
        let message = letter.truncated_message();
        prop_assert!(message.len() <= MAX_MESSAGE_BYTES, "{} bytes", message.len());
        is_a_message(&message)?;
        let data = read(&message).event_data;
        let kept = BASE64_STANDARD.decode(data.body.expect("the beginning of the body")).expect("base64");
        let sent = &failed.event.body;
        prop_assert!(sent.starts_with(&kept));
        prop_assert_eq!(data.body_cut, (kept.len() < sent.len()).then(|| Fingerprint::of_bytes(sent)));
        // The body uses all room, except less than a group of base64 and its quotes.
        prop_assert!(kept == *sent || message.len() > MAX_MESSAGE_BYTES - 6, "{} bytes", message.len());
        prop_assert_eq!(data.properties_cut, failed.cells[4].is_some() || failed.cells[5].is_some());
    }

    #[test]
    fn the_id_depends_only_on_the_event_and_its_position(failed in failed(), other in failed(), parts in any::<[bool; 4]>()) {
        // The same event in another attempt.
        let again = Failed { source: failed.source.clone(), event: failed.event.clone(), ..other.clone() };
        let mut batch_says = again.clone();
        batch_says.event.content_type = Some("text/plain".into());
        batch_says.event.iot_hub_device_id = Some("d".into());
        prop_assert_eq!(batch_says.letter().id, failed.letter().id);
        // Some part is from another event.
        let mut changed = again;
        let source = &mut changed.source;
        match parts {
            [true, true, ..] => *source = other.source.clone(),
            [true, false, true, _] => source.partition_id.clone_from(&other.source.partition_id),
            [true, false, false, _] => source.consumer_group.clone_from(&other.source.consumer_group),
            [false, true, ..] => changed.event.body.clone_from(&other.event.body),
            [false, false, true, _] => changed.event.position = other.event.position,
            [false, false, false, _] => changed.event.body = [&changed.event.body[..], &[0]].concat().into(),
        }
        let is_same = changed.source == failed.source
            && (changed.event.position, &changed.event.body) == (failed.event.position, &failed.event.body);
        prop_assert_eq!(changed.letter().id == failed.letter().id, is_same);
    }

    #[test]
    fn an_id_matches_only_its_own_event(failed in failed(), other in failed()) {
        let letter = failed.letter();
        prop_assert_eq!(letter.check_id(), IdCheck::Matches);
        // A message without the complete event cannot be checked; with it, it always matches.
        let truncated = read(&letter.truncated_message());
        let is_complete = truncated.event_data.body_cut.is_none();
        prop_assert!(truncated.check_id() == IdCheck::Incomplete || is_complete && truncated.check_id() == IdCheck::Matches);
        let changed = DeadLetter { id: other.letter().id, ..letter.clone() };
        prop_assert_eq!(changed.check_id() == IdCheck::Matches, changed.id == letter.id);

        // The content of the overflow is that of its message, or refused.
        let overflow = Memory::default();
        let pointer = poll_once(letter.store_in(&overflow)).expect("stored");
        let message = DeadLetter { id: changed.id.clone(), ..read(&letter.message_with_pointer(pointer)) };
        let fetched = poll_once(fetch_complete(&message, Some(&overflow)));
        prop_assert_eq!(matches!(fetched, Err(FetchError::Lost(_))), changed.id != letter.id);
        for id in ["", "../x", "/tmp/x", &letter.id.to_uppercase(), &format!("{}0", letter.id)] {
            let stored = overflow.0.lock().expect("no other thread").len();
            let unsafe_letter = DeadLetter { id: (*id).to_owned(), ..letter.clone() };
            if id != letter.id {
                let refused = poll_once(unsafe_letter.store_in(&overflow));
                prop_assert!(matches!(refused, Err(OverflowError::InvalidId { .. })), "{:?}", refused);
                prop_assert_eq!(overflow.0.lock().expect("no other thread").len(), stored);
            }
        }
    }

    #[test]
    fn only_the_named_members_of_a_text_change(
        members in members(), spaces in json::spaces(), name in "[a-d]é?", one in json::value(), other in json::value(),
    ) {
        let quoted: Vec<_> = members.iter().map(|(name, value)| (json::quoted(name, false), value.clone())).collect();
        let text = json::object(&quoted, &spaces);
        let unchanged = with_members(text.as_bytes(), []).expect("an object");
        prop_assert_eq!(unchanged, changed(members.clone(), &[]));
        let once = with_members(text.as_bytes(), [(&name, raw(&one))]).expect("an object");
        prop_assert_eq!(&once, &changed(members.clone(), &[(&name, &one)]));
        let twice = with_members(text.as_bytes(), [(&name, raw(&one)), ("new", raw(&other))]).expect("an object");
        prop_assert_eq!(twice, changed(members, &[(&name, &one), ("new", &other)]));
    }
}

#[test]
fn the_generated_dead_letters_have_all_sizes() {
    let letters: Vec<_> = examples(failed(), 200).map(|failed| failed.letter()).collect();
    let count = |is_so: fn(&DeadLetter) -> bool| letters.iter().filter(|letter| is_so(letter)).count();
    let is_cut = |letter: &DeadLetter| read(&letter.truncated_message()).event_data.body_cut.is_some();
    let counts = [
        count(|letter| letter.message().is_some()),
        count(|letter| letter.message().is_none()),
        count(is_cut),
        count(|letter| {
            letter.message().is_none() && letter.event_data.body.as_ref().is_some_and(|body| body.len() < 100)
        }),
    ];
    assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
}
