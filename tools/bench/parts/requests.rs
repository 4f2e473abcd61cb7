//! Deterministic requests of the host with events of simulated devices.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use devicestate_engine::{batch::Source, function_app::Function};
use devicestate_local::{
    envelope::{Retry, request},
    hub::{HubEvent, Sent},
    packing::{Packing, pack},
    sessions::{
        self,
        queue::{Delivery, Message},
    },
    simulator::{Encoding, Simulator},
};

/// The number of devices in the partition.
pub(super) const DEVICES: usize = 100;

/// The enqueued time of the first event and the time of each request: 21 November 2024, in milliseconds since 1970.
pub(super) const T0_MS: i64 = 1_732_150_000_000;

/// Returns the request for the batch of this number, whose events are later than those of the previous one. Every event is a
/// key frame, the largest event of a drone; the devices take turns.
pub(super) fn host_request(function: &Function, number: usize, events: usize, with_content_type: bool) -> Bytes {
    let first = number * events;
    let sent = key_frames(Encoding::Json, first).take(events);
    let sent = sent.map(|sent| Sent { content_type: sent.content_type.filter(|_| with_content_type), ..sent });
    to_request(function, first, sent)
}

/// Returns the request for the batch of this number, whose events are these of all devices in turn.
pub(super) fn packed_request(function: &Function, number: usize, events: usize, packed: &[Sent]) -> Bytes {
    let first = number * events;
    to_request(function, first, packed.iter().cycle().skip(first % packed.len()).take(events).cloned())
}

/// Returns an event of each device, with this many of its key frames as records.
pub(super) fn packed_frames(records: u32) -> Vec<Sent> {
    let frames = key_frames(Encoding::Json, 0).map(|sent| {
        let device = sent.partition_key.clone().expect("the key is the device");
        Ok::<_, Infallible>((Sent { content_type: None, ..sent }, Packing::Record(device)))
    });
    pack(frames, records).map(|Ok(sent)| sent).take(DEVICES).collect()
}

/// Returns the request for a batch of these events, whose first one has this sequence number.
fn to_request(function: &Function, first: usize, sent: impl Iterator<Item = Sent>) -> Bytes {
    let source = Source {
        fully_qualified_namespace: "ns.servicebus.windows.net".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        partition_id: "3".into(),
        ..Source::default()
    };
    let events: Vec<_> = (first..)
        .zip(sent)
        .map(|(position, sent)| {
            let sequence_number = i64::try_from(position).expect("the number is small");
            Arc::new(HubEvent {
                sent,
                sequence_number,
                offset: sequence_number * 416,
                enqueued_ms: T0_MS + sequence_number,
                iot_hub_enqueued_ms: None,
            })
        })
        .collect();
    let retry = Retry { max_count: -1, ..Retry::default() };
    let request = request(function, &source, &events, Some(&retry), T0_MS);
    request.expect("the function has cardinality many").into()
}

/// Returns the request for a message of a device's session: its key frame of this number.
pub(super) fn session_request(function: &Function, number: usize) -> Bytes {
    let sent = key_frames(Encoding::Json, number * DEVICES).next().expect("they are endless");
    let sequence_number = i64::try_from(number).expect("the number is small");
    let message = Message {
        session_id: sent.partition_key.expect("the key is the device"),
        message_id: format!("message-{number:09}"),
        sequence_number,
        enqueued_ms: T0_MS + sequence_number,
        body: sent.body,
        content_type: None,
    };
    let delivery = Delivery { message: Arc::new(message), delivery_count: 1 };
    sessions::envelope::request(function, "ns.servicebus.windows.net", &delivery, None, T0_MS).into()
}

/// Returns endless key frames of all devices in turn, from this index on. Only the first frame of a simulated device is a key
/// frame, so each turn creates new devices with the same names.
pub(super) fn key_frames(encoding: Encoding, from: usize) -> impl Iterator<Item = Sent> {
    let turns = (from / DEVICES) as u64..;
    turns.flat_map(move |seed| Simulator::new(DEVICES, DEVICES as u64, encoding, seed)).skip(from % DEVICES)
}
