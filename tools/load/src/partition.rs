//! The batches of one partition, each newer than the previous one.

use std::iter;

use fastrand::Rng;

use crate::{
    digits::{Device, SequenceNumber, Time},
    envelope::{Envelope, EventPositions, GUID_CHARS},
    framing::{FieldPosition, FramedRequest},
    options::Options,
    telemetry,
};

/// A partition and its prepared requests.
pub(crate) struct Partition {
    pub(crate) number: u8,
    /// The number of events per batch.
    pub(crate) events: u32,
    /// The number of records per event, all of one device.
    pack: usize,
    devices: u32,
    requests: Vec<Request>,
    next: usize,
    sequence_number: SequenceNumber,
    /// When the previous batch was created, in milliseconds since 1970.
    last_batch_ms: i64,
    time: Time,
    rng: Rng,
}

/// A prepared request.
struct Request {
    framed: FramedRequest,
    events: Vec<EventPositions<FieldPosition>>,
    /// The device's number in each record of the bodies.
    records: Vec<FieldPosition>,
    now: FieldPosition,
    guid: FieldPosition,
}

/// The bytes of requests that are prepared per partition. They fit into the processor's cache, which keeps the driver's
/// cost low.
const PREPARED_BYTES: usize = 256 << 10;

/// Limits the requests that are prepared per partition.
const MAX_PREPARED_REQUESTS: usize = 16;

impl Partition {
    pub(crate) fn new(options: &Options, number: u8, now_ms: i64) -> Self {
        let mut rng = Rng::with_seed(options.seed.wrapping_mul(64).wrapping_add(number.into()));
        let (events, body_bytes) = match options.large_body {
            Some(large_body) if number == 0 => (1, large_body),
            _ => (options.events, options.body_bytes),
        };
        let mut requests = Vec::new();
        let mut bytes = 0;
        while requests.is_empty() || (bytes < PREPARED_BYTES && requests.len() < MAX_PREPARED_REQUESTS) {
            let request = Request::new(options, number, events, body_bytes as usize, &mut rng);
            bytes += request.framed.bytes.len();
            requests.push(request);
        }
        Self {
            number,
            events,
            pack: options.pack as usize,
            devices: options.devices,
            requests,
            next: 0,
            sequence_number: SequenceNumber::first(now_ms),
            last_batch_ms: now_ms,
            time: Time::new(),
            rng,
        }
    }

    /// Returns the next request. Its enqueued times are spread over the time since the previous one, as in a hub whose reader
    /// keeps up.
    pub(crate) fn next_request(&mut self, now_ms: i64) -> &[u8] {
        let Self { requests, sequence_number, time, rng, .. } = self;
        let before_ms = self.last_batch_ms;
        // The system clock may be set back, but enqueued times of a partition never decrease.
        self.last_batch_ms = now_ms.max(before_ms);
        let (elapsed, events_per_batch) = (self.last_batch_ms - before_ms, i64::from(self.events));
        self.next = (self.next + 1) % requests.len();
        let Request { framed, events, records, now, guid } = &mut requests[self.next];
        // A given body has no device.
        let devices_at = records.chunks_exact(self.pack).chain(iter::repeat(&[][..]));
        for ((index, positions), records) in (1..).zip(events).zip(devices_at) {
            let device = Device(rng.u32(..self.devices));
            let (base64, digits) = (device.base64(), device.digits());
            let enqueued = time.at(before_ms + elapsed * index / events_per_batch);
            for position in records {
                framed.put(*position, &base64);
            }
            for copy in 0..3 {
                framed.put(positions.keys[copy], &digits);
                framed.put(positions.sequence_numbers[copy], &sequence_number.0);
                framed.put(positions.times[copy], enqueued);
            }
            sequence_number.increment();
        }
        framed.put(*now, time.at(self.last_batch_ms));
        framed.put(*guid, &random_guid(rng));
        framed.put(framed.invocation_id, &random_guid(rng));
        &framed.bytes
    }

    /// Returns the previous request with a new invocation id, as the host repeats a batch whose checkpoint was lost.
    pub(crate) fn repeated_request(&mut self) -> &[u8] {
        let Request { framed, .. } = &mut self.requests[self.next];
        framed.put(framed.invocation_id, &random_guid(&mut self.rng));
        &framed.bytes
    }
}

impl Request {
    fn new(options: &Options, partition: u8, events: u32, body_bytes: usize, rng: &mut Rng) -> Self {
        let given = options.body.as_ref().map(|body| (body.to_vec(), Vec::new()));
        let mut body = || given.clone().unwrap_or_else(|| telemetry::body(rng, partition, options.pack, body_bytes));
        let bodies: Vec<_> = (0..events).map(|_| body()).collect();
        let envelope = Envelope::new(&options.function, partition, options.content_type.as_deref(), &bodies);
        let (framed, position) = FramedRequest::new(options, &envelope.text);
        let events = envelope.events.into_iter().map(|positions| positions.map(&position)).collect();
        let records = envelope.records.into_iter().map(&position).collect();
        Self { events, records, now: position(envelope.now_at), guid: position(envelope.guid_at), framed }
    }
}

fn random_guid(rng: &mut Rng) -> [u8; GUID_CHARS] {
    let mut text = [0; GUID_CHARS];
    let guid = uuid::Builder::from_random_bytes(rng.u128(..).to_ne_bytes()).into_uuid();
    guid.hyphenated().encode_lower(&mut text);
    text
}
