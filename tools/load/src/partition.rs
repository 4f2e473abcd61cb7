//! The batches of one partition, each newer than the one before.

use fastrand::Rng;

use crate::{
    digits::{Device, SequenceNumber, Time},
    envelope::{Envelope, GUID, Places},
    framing::{Framed, Place},
    options::Options,
    telemetry,
};

/// A partition, and what its connection sends next.
pub(crate) struct Partition {
    pub(crate) number: u8,
    /// How many events each batch has.
    pub(crate) events: u32,
    devices: u32,
    requests: Vec<Request>,
    next: usize,
    sequence_number: SequenceNumber,
    /// When the batch before was made, in milliseconds since 1970.
    made_ms: i64,
    time: Time,
    rng: Rng,
}

/// A request that was made beforehand.
struct Request {
    framed: Framed,
    events: Vec<Places<Place>>,
    now: Place,
    guid: Place,
}

/// Of the bodies of one partition, as many as this holds are made beforehand: so that they stay in the processor's
/// cache, and the driver costs little.
const PREPARED_BYTES: usize = 256 << 10;

/// And no more requests than this: a batch of one event is small.
const MOST_PREPARED: usize = 16;

impl Partition {
    pub(crate) fn new(options: &Options, number: u8, now_ms: i64) -> Self {
        let mut rng = Rng::with_seed(options.seed.wrapping_mul(64).wrapping_add(number.into()));
        let (events, body_bytes) = match options.large_body {
            Some(large_body) if number == 0 => (1, large_body),
            _ => (options.events, options.body_bytes),
        };
        let mut requests = Vec::new();
        let mut bytes = 0;
        while requests.is_empty() || (bytes < PREPARED_BYTES && requests.len() < MOST_PREPARED) {
            let request = Request::new(options, number, events, body_bytes as usize, &mut rng);
            bytes += request.framed.bytes.len();
            requests.push(request);
        }
        Self {
            number,
            events,
            devices: options.devices,
            requests,
            next: 0,
            sequence_number: SequenceNumber::FIRST,
            made_ms: now_ms,
            time: Time::new(),
            rng,
        }
    }

    /// The next request. Its events were enqueued one after the other since the one before was made, as the events of a
    /// hub are that its reader keeps up with.
    pub(crate) fn request(&mut self, now_ms: i64) -> &[u8] {
        let Self { requests, sequence_number, time, rng, .. } = self;
        let before_ms = self.made_ms;
        // A clock may be set back, the times of a partition never are.
        self.made_ms = now_ms.max(before_ms);
        let (passed, of) = (self.made_ms - before_ms, i64::from(self.events));
        self.next = (self.next + 1) % requests.len();
        let Request { framed, events, now, guid } = &mut requests[self.next];
        for (index, places) in (1..).zip(events) {
            let device = Device(rng.u32(..self.devices));
            let (base64, digits) = (device.base64(), device.digits());
            let enqueued = time.at(before_ms + passed * index / of);
            framed.put(places.body, &base64);
            for third in 0..3 {
                framed.put(places.keys[third], &digits);
                framed.put(places.sequence_numbers[third], &sequence_number.0);
                framed.put(places.times[third], enqueued);
            }
            sequence_number.rise();
        }
        framed.put(*now, time.at(self.made_ms));
        framed.put(*guid, &random_guid(rng));
        framed.put(framed.invocation_id, &random_guid(rng));
        &framed.bytes
    }

    /// The request that was made last, byte for byte but for the invocation's id: as the host sends a batch again whose
    /// checkpoint was lost.
    pub(crate) fn again(&mut self) -> &[u8] {
        let Request { framed, .. } = &mut self.requests[self.next];
        framed.put(framed.invocation_id, &random_guid(&mut self.rng));
        &framed.bytes
    }
}

impl Request {
    fn new(options: &Options, partition: u8, events: u32, body_bytes: usize, rng: &mut Rng) -> Self {
        let bodies: Vec<_> = (0..events).map(|_| telemetry::body(rng, partition, body_bytes)).collect();
        let envelope = Envelope::new(&options.function, partition, options.content_type.as_deref(), &bodies);
        let (framed, place) = Framed::new(options, &envelope.text);
        let events = envelope.events.into_iter().map(|places| places.map(&place)).collect();
        Self { events, now: place(envelope.now_at), guid: place(envelope.guid_at), framed }
    }
}

fn random_guid(rng: &mut Rng) -> [u8; GUID] {
    let mut text = [0; GUID];
    let guid = uuid::Builder::from_random_bytes(rng.u128(..).to_ne_bytes()).into_uuid();
    guid.hyphenated().encode_lower(&mut text);
    text
}
