//! Packs the records of a device into events of several records, as devices do that send many records at a time.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
};

use crate::hub::Sent;

/// Limits the records that can be packed into an event: a handler reads at most as many.
pub const MAX_PACKED_RECORDS: u32 = 4_096;

/// Limits the body of an event with several records. With its metadata, the event fits into the 256 KB that the tier Basic of
/// Event Hubs and the tier Standard of Service Bus accept.
const MAX_PACKED_BYTES: usize = 250_000;

/// Limits the memory of the incomplete events, in bytes. Beyond it, the oldest ones are sent as they are.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// How an event is packed.
#[derive(Debug)]
pub enum Packing {
    /// It is one record of this device, a JSON object.
    Record(String),
    /// It is sent as it is, after the records of these devices that came before it.
    Alone(Vec<String>),
}

/// Packs up to this many consecutive records of a device into one event, an array of them. Each device's records keep their order.
/// An event takes its place among the others when it is complete: when it has as many records or the most bytes, when the next
/// record of its device has other metadata, or at the end or an error of the input.
pub fn pack<E>(
    events: impl Iterator<Item = Result<(Sent, Packing), E>>,
    max_records: u32,
) -> impl Iterator<Item = Result<Sent, E>> {
    Packed { events, max_records, waiting: Waiting::default(), ready: VecDeque::new() }
}

struct Packed<I, E> {
    events: I,
    max_records: u32,
    waiting: Waiting,
    ready: VecDeque<Result<Sent, E>>,
}

/// The incomplete events.
#[derive(Default)]
struct Waiting {
    /// By the number of their first record.
    packs: BTreeMap<u64, Pack>,
    /// The number of the first record of each device's pack.
    numbers: HashMap<String, u64>,
    next_number: u64,
    bytes: usize,
}

/// An incomplete event.
struct Pack {
    device: String,
    /// The event without a body.
    envelope: Sent,
    /// The records, with commas between them.
    body: Vec<u8>,
}

impl<E, I: Iterator<Item = Result<(Sent, Packing), E>>> Iterator for Packed<I, E> {
    type Item = Result<Sent, E>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            match self.events.next() {
                Some(Ok((sent, Packing::Record(device)))) => self.add(&device, sent),
                Some(Ok((sent, Packing::Alone(devices)))) => {
                    let earlier = devices.iter().filter_map(|device| self.waiting.remove(device));
                    self.ready.extend(earlier.chain([sent]).map(Ok));
                }
                ended => {
                    self.ready
                        .extend(mem::take(&mut self.waiting).packs.into_values().map(|pack| Ok(pack.into_sent())));
                    self.ready.extend(ended.and_then(Result::err).map(Err));
                    break;
                }
            }
        }
        self.ready.pop_front()
    }
}

impl<I, E> Packed<I, E> {
    fn add(&mut self, device: &str, mut sent: Sent) {
        let Self { max_records, waiting, ready, .. } = self;
        let record = mem::take(&mut sent.body);
        if waiting.get(device).is_some_and(|pack| !pack.has_room(&sent, &record)) {
            ready.extend(waiting.remove(device).map(Ok));
        }
        let records = waiting.add(device, sent, &record);
        if records >= *max_records {
            ready.extend(waiting.remove(device).map(Ok));
        }
        while waiting.bytes > MAX_WAITING_BYTES {
            ready.extend(waiting.remove_oldest().map(Ok));
        }
    }
}

impl Waiting {
    fn get(&self, device: &str) -> Option<&Pack> {
        self.packs.get(self.numbers.get(device)?)
    }

    /// Adds a record to the pack of its device, or begins one. Returns how many records it has.
    fn add(&mut self, device: &str, envelope: Sent, record: &[u8]) -> u32 {
        self.bytes += record.len();
        if let Some(pack) = self.numbers.get(device).and_then(|number| self.packs.get_mut(number)) {
            pack.body.push(b',');
            pack.body.extend_from_slice(record);
            pack.envelope.further_records += 1;
            return pack.envelope.further_records + 1;
        }
        let pack = Pack { device: device.to_owned(), envelope, body: record.to_vec() };
        self.bytes += size_of::<Pack>();
        self.numbers.insert(device.to_owned(), self.next_number);
        self.packs.insert(self.next_number, pack);
        self.next_number += 1;
        1
    }

    fn remove(&mut self, device: &str) -> Option<Sent> {
        let number = self.numbers.remove(device)?;
        let pack = self.packs.remove(&number)?;
        let commas = pack.envelope.further_records as usize;
        self.bytes -= size_of::<Pack>() + pack.body.len() - commas;
        Some(pack.into_sent())
    }

    fn remove_oldest(&mut self) -> Option<Sent> {
        let device = self.packs.first_key_value()?.1.device.clone();
        self.remove(&device)
    }
}

impl Pack {
    /// Returns whether a record with this metadata can be added.
    fn has_room(&self, envelope: &Sent, record: &[u8]) -> bool {
        let is_alike = Sent { further_records: self.envelope.further_records, ..envelope.clone() } == self.envelope;
        is_alike && self.body.len() + record.len() + b"[,]".len() <= MAX_PACKED_BYTES
    }

    /// Returns the event. A single record stays as it was sent.
    fn into_sent(self) -> Sent {
        let Self { envelope, body, .. } = self;
        let body = if envelope.further_records == 0 { body } else { [b"[".as_slice(), &body, b"]"].concat() };
        Sent { body, ..envelope }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &str) -> Sent {
        Sent { body: body.into(), partition_key: Some(body[..1].to_owned()), ..Sent::default() }
    }

    /// A record of the device that its first letter names.
    fn record(body: &str) -> (Sent, Packing) {
        (sent(body), Packing::Record(body[..1].to_owned()))
    }

    fn text(sent: Sent) -> String {
        String::from_utf8(sent.body).expect("text")
    }

    fn bodies(events: Vec<(Sent, Packing)>, max_records: u32) -> Vec<String> {
        pack(events.into_iter().map(Ok::<_, ()>), max_records).map(|sent| text(sent.expect("no error"))).collect()
    }

    #[test]
    fn a_device_has_ceil_of_records_by_pack_events_and_its_records_keep_their_order() {
        let records = (1..=7).flat_map(|number| ["a", "b"].map(|device| record(&format!("{device}{number}"))));
        let packed: Vec<_> = pack(records.map(Ok::<_, ()>), 3).map(|sent| sent.expect("no error")).collect();
        let bodies: Vec<_> = packed.iter().map(|sent| String::from_utf8_lossy(&sent.body)).collect();
        assert_eq!(bodies, ["[a1,a2,a3]", "[b1,b2,b3]", "[a4,a5,a6]", "[b4,b5,b6]", "a7", "b7"]);
        assert_eq!(packed.iter().map(|sent| sent.further_records).collect::<Vec<_>>(), [2, 2, 2, 2, 0, 0]);
        assert!(packed.iter().all(|sent| sent.partition_key.is_some()));
    }

    #[test]
    fn a_pack_of_one_is_the_event_as_it_was_sent() {
        assert_eq!(bodies(vec![record("a1"), record("b1"), record("a2")], 1), ["a1", "b1", "a2"]);
    }

    #[test]
    fn an_event_that_goes_alone_follows_the_earlier_records_of_its_devices() {
        let alone =
            |devices: &[&str]| (sent("[c1]"), Packing::Alone(devices.iter().map(ToString::to_string).collect()));
        let events = vec![record("a1"), record("b1"), record("a2"), alone(&["a", "c"]), record("a3"), record("b2")];
        assert_eq!(bodies(events, 8), ["[a1,a2]", "[c1]", "[b1,b2]", "a3"]);
        assert_eq!(bodies(vec![record("a1"), alone(&[]), record("a2")], 2), ["[c1]", "[a1,a2]"]);
    }

    #[test]
    fn records_with_different_metadata_are_in_different_events() {
        let of_type = |body, content_type| {
            (Sent { content_type: Some(content_type), ..sent(body) }, Packing::Record("a".to_owned()))
        };
        let events = vec![of_type("a1", "x"), of_type("a2", "x"), of_type("a3", "y"), of_type("a4", "x")];
        assert_eq!(bodies(events, 8), ["[a1,a2]", "a3", "a4"]);
    }

    #[test]
    fn an_event_ends_before_the_record_that_would_exceed_the_bytes() {
        let long = |letter: &str| letter.repeat(MAX_PACKED_BYTES / 2 - 10);
        let records = (0..5).map(|_| record(&long("a"))).collect();
        let lengths: Vec<_> = bodies(records, 100).iter().map(String::len).collect();
        assert_eq!(lengths.len(), 3);
        assert!(lengths.iter().all(|length| *length <= MAX_PACKED_BYTES), "{lengths:?}");
    }

    #[test]
    fn incomplete_events_of_many_devices_leave_in_the_order_of_their_first_record() {
        let record = |number: u64| {
            let body = [vec![b' '; MAX_PACKED_BYTES], number.to_string().into_bytes()].concat();
            Ok::<_, String>((Sent { body, ..Sent::default() }, Packing::Record(number.to_string())))
        };
        let mut created = 0;
        let mut packed = pack((0..1_000).map(record).inspect(|_| created += 1), 2);
        let first = packed.next().expect("an event").expect("no error");
        assert_eq!(first.body.last(), Some(&b'0'));
        drop(packed);
        assert_eq!(created, MAX_WAITING_BYTES / MAX_PACKED_BYTES + 1);
    }

    #[test]
    fn records_before_an_error_are_sent() {
        let events = [Ok(record("a1")), Ok(record("a2")), Err("unreadable")];
        let packed: Vec<_> = pack(events.into_iter(), 8).map(|sent| sent.map(text)).collect();
        assert_eq!(packed, [Ok("[a1,a2]".to_owned()), Err("unreadable")]);
    }
}
