//! Deterministic requests of the host with events of simulated devices.

use std::sync::Arc;

use bytes::Bytes;
use devicestate_engine::{batch::Source, function_app::Function};
use devicestate_local::{
    envelope::{Retry, request},
    hub::{HubEvent, Sent},
    simulator::{Encoding, Simulator},
};

/// The number of devices in the partition.
pub(super) const DEVICES: usize = 100;

/// The enqueued time of the first event and the time of each request: 21 November 2024, in milliseconds since 1970.
pub(super) const T0_MS: i64 = 1_732_150_000_000;

/// Returns the request for the batch of this number, whose events are later than those of the previous one. Every event is a
/// key frame, the largest event of a drone; the devices take turns.
pub(super) fn host_request(function: &Function, number: usize, events: usize, with_content_type: bool) -> Bytes {
    let source = Source {
        fully_qualified_namespace: "ns.servicebus.windows.net".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        partition_id: "3".into(),
        ..Source::default()
    };
    let first = number * events;
    let events: Vec<_> = (first..first + events)
        .zip(key_frames(Encoding::Json, first))
        .map(|(position, sent)| {
            let sequence_number = i64::try_from(position).expect("the number is small");
            let sent = Sent { content_type: sent.content_type.filter(|_| with_content_type), ..sent };
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

/// Returns endless key frames of all devices in turn, from this index on. Only the first frame of a simulated device is a key
/// frame, so each turn creates new devices with the same names.
pub(super) fn key_frames(encoding: Encoding, from: usize) -> impl Iterator<Item = Sent> {
    let turns = (from / DEVICES) as u64..;
    turns.flat_map(move |seed| Simulator::new(DEVICES, DEVICES as u64, encoding, seed)).skip(from % DEVICES)
}
