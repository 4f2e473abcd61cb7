//! Invalid events of several kinds, mixed in among the valid ones. They are additional events, so the expected documents stay
//! the same.

use std::str::FromStr;

use super::hub::Sent;

/// 100 % in parts per million.
const MILLION: u64 = 1_000_000;

/// How many invalid events are added per valid event, from 0 % to 100 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InvalidEventRate {
    per_million: u64,
}

impl InvalidEventRate {
    /// Returns a rate of this many percent.
    pub(super) const fn from_percent(percent: u64) -> Self {
        Self { per_million: percent * (MILLION / 100) }
    }

    /// Returns how many invalid events are added to this many valid ones.
    pub(super) fn count_for(self, valid: u64) -> u64 {
        valid * self.per_million / MILLION
    }
}

impl FromStr for InvalidEventRate {
    type Err = String;

    /// Reads a percentage such as `0.5%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || "it must be a percentage from 0% to 100%, such as 0.5%".to_owned();
        let number = text.strip_suffix('%').ok_or_else(invalid)?;
        let (percent, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{percent}{decimals:0<4}");
        if percent.is_empty() || decimals.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let per_million = digits.parse().ok().filter(|per_million| *per_million <= MILLION);
        per_million.map(|per_million| Self { per_million }).ok_or_else(invalid)
    }
}

/// Adds invalid events to a stream of valid ones: evenly, and each of the next kind.
pub(super) struct InvalidEvents {
    rate: InvalidEventRate,
    valid: u64,
    kinds: usize,
}

impl InvalidEvents {
    pub(super) fn new(rate: InvalidEventRate) -> Self {
        Self { rate, valid: 0, kinds: 0 }
    }

    /// Returns the invalid events to send after this valid one. They have its partition key, so they are among the events of
    /// its device.
    pub(super) fn following(&mut self, valid: &Sent) -> Vec<Sent> {
        let count = self.rate.count_for(self.valid + 1) - self.rate.count_for(self.valid);
        self.valid += 1;
        (0..count).map(|_| self.create(valid)).collect()
    }

    fn create(&mut self, valid: &Sent) -> Sent {
        const JSON: Option<&str> = Some("application/json");
        const PROTOBUF: Option<&str> = Some("application/x-protobuf");
        let device = valid.partition_key.as_deref().unwrap_or("drone-7");
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
        Sent { body, partition_key: valid.partition_key.clone(), content_type, ..Sent::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_percentage_with_up_to_four_decimals() {
        for (text, of_a_million) in
            [("0%", 0), ("0.5%", 5_000), ("1%", 10_000), ("2.25%", 22_500), ("0.0001%", 1), ("100%", 1_000_000)]
        {
            assert_eq!(
                text.parse().map(|rate: InvalidEventRate| rate.count_for(1_000_000)),
                Ok(of_a_million),
                "{text}"
            );
        }
        for text in ["", "%", "5", "0.5", "-1%", "+1%", "101%", "100.0001%", "0.00001%", ".5%", "a%", "1.x%", "1 %"] {
            assert!(text.parse::<InvalidEventRate>().is_err(), "{text}");
        }
    }

    #[test]
    fn invalid_events_are_spread_evenly_and_their_number_is_known_beforehand() {
        let mut invalid = InvalidEvents::new(InvalidEventRate::from_percent(1));
        let added: Vec<_> = (0..876).map(|_| invalid.following(&Sent::default()).len()).collect();
        assert_eq!(added.iter().sum::<usize>() as u64, InvalidEventRate::from_percent(1).count_for(876));
        assert!(added.chunks(100).take(8).all(|hundred| hundred.iter().sum::<usize>() == 1));
    }
}
