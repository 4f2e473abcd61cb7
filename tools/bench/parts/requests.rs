//! What devices send and the host makes of it: always the same for the same arguments.

use std::sync::Arc;

use bytes::Bytes;
use devicestate_engine::{batch::Source, function_app::Function};
use devicestate_local::{
    envelope::{Retry, request},
    hub::{HubEvent, Sent},
    simulator::{Encoding, Simulator},
};

/// How many devices there are: as many as a partition has, when there are hundreds of thousands of them.
pub(super) const DEVICES: usize = 100;

/// When the first event is enqueued, and about when each request is made: 21 November 2024.
pub(super) const T0_MS: i64 = 1_732_150_000_000;

/// The request for batch number so and so: each is of later events than the one before. Every event is a key frame, the
/// most that a drone sends; devices take turns.
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
        .map(|(place, sent)| {
            let sequence_number = i64::try_from(place).expect("a number of some thousands");
            let sent = Sent { content_type: sent.content_type.filter(|_| with_content_type), ..sent };
            Arc::new(HubEvent {
                sent,
                sequence_number,
                offset: sequence_number * 416,
                enqueued_ms: T0_MS + sequence_number,
            })
        })
        .collect();
    let retry = Retry { count: 0, max_count: -1, exception: None };
    let request = request(function, &source, &events, Some(&retry), T0_MS);
    request.expect("a batch for a function that takes many").into()
}

/// Key frames of all devices in turn, without end, from this place on. The first frame of a device is one, so each turn
/// has drones of its own, under the same names.
pub(super) fn key_frames(wire: Encoding, from: usize) -> impl Iterator<Item = Sent> {
    let turns = (from / DEVICES) as u64..;
    turns.flat_map(move |seed| Simulator::new(DEVICES, DEVICES as u64, wire, seed)).skip(from % DEVICES)
}
