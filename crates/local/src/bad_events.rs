//! Bad events of several kinds, strewn among the good ones: additional ones, so that the good can be checked as ever.

use super::hub::Sent;

/// Adds so many bad events to each thousand good ones, evenly, each of the next kind.
pub(super) struct BadEvents {
    per_mille: u64,
    good: u64,
    kinds: usize,
}

impl BadEvents {
    pub(super) fn new(per_mille: u64) -> Self {
        Self { per_mille, good: 0, kinds: 0 }
    }

    /// How many there are among so many good ones.
    pub(super) fn among(good: u64, per_mille: u64) -> u64 {
        good * per_mille / 1000
    }

    /// The bad events that go behind this good one. They have its partition key, and so sit among its device's events.
    pub(super) fn behind(&mut self, good: &Sent) -> Vec<Sent> {
        let count = Self::among(self.good + 1, self.per_mille) - Self::among(self.good, self.per_mille);
        self.good += 1;
        (0..count).map(|_| self.next(good)).collect()
    }

    fn next(&mut self, good: &Sent) -> Sent {
        const JSON: Option<&str> = Some("application/json");
        const PROTOBUF: Option<&str> = Some("application/x-protobuf");
        let device = good.partition_key.as_deref().unwrap_or("drone-7");
        let json = |rest: &str| format!("{{\"deviceId\":{device:?},{rest}}}").into_bytes();
        let kinds: [(Vec<u8>, Option<&'static str>); 10] = [
            (Vec::new(), None),
            (format!("{{\"deviceId\":{device:?},\"bat").into_bytes(), JSON),
            (br#"{"battery":0.5}"#.to_vec(), JSON),
            (br#"{"deviceId":"","battery":0.5}"#.to_vec(), JSON),
            (json(r#""battery":"full""#), JSON),
            (json(r#""flightMode":99"#), JSON),
            (json(r#""flightMode":"hovering""#), JSON),
            (b"\xff\xfe\x00hello".to_vec(), None),
            // A protobuf message that ends within its device id, and one whose battery is not a number.
            (b"\x0a\x07dron".to_vec(), PROTOBUF),
            (b"\x0a\x01d\x11\x00\x00\x00\x00\x00\x00\xf8\x7f".to_vec(), PROTOBUF),
        ];
        let (body, content_type) = kinds[self.kinds % kinds.len()].clone();
        self.kinds += 1;
        Sent { body, partition_key: good.partition_key.clone(), content_type }
    }
}
