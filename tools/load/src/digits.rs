//! Numbers and times as text of a fixed width, so that a request can be updated by overwriting them.

use std::{array, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::text::iso8601;

const DIGITS: &[u8; 10] = b"0123456789";

/// The three digits of each number below 1,000.
const TRIPLES: [[u8; 3]; 1000] = {
    let mut triples = [[0; 3]; 1000];
    let mut number = 0;
    while number < 1000 {
        triples[number] = [DIGITS[number / 100], DIGITS[number / 10 % 10], DIGITS[number % 10]];
        number += 1;
    }
    triples
};

/// [`TRIPLES`] in base64, where three bytes are four characters.
static BASE64_TRIPLES: LazyLock<[[u8; 4]; 1000]> = LazyLock::new(|| {
    array::from_fn(|number| {
        let mut text = [0; 4];
        BASE64.encode_slice(TRIPLES[number], &mut text).expect("three bytes are four characters");
        text
    })
});

/// The number of a device in its partition, below 1,000,000, in six digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device(pub(crate) u32);

impl Device {
    pub(crate) fn digits(self) -> [u8; 6] {
        self.groups(&TRIPLES).as_flattened().try_into().expect("twice three")
    }

    /// Returns the digits in base64, for a position in the text that is a multiple of three bytes.
    pub(crate) fn base64(self) -> [u8; 8] {
        self.groups(&BASE64_TRIPLES).as_flattened().try_into().expect("twice four")
    }

    fn groups<T: Copy>(self, table: &[T; 1000]) -> [T; 2] {
        [table[self.0 as usize / 1000], table[self.0 as usize % 1000]]
    }
}

/// A sequence number in sixteen digits: larger than any of a real partition, and still exact as a double.
#[derive(Debug, Clone)]
pub(crate) struct SequenceNumber(pub(crate) [u8; Self::WIDTH]);

impl SequenceNumber {
    pub(crate) const WIDTH: usize = 16;

    /// Returns the first number of a run that starts at this time. The numbers of a partition go on from run to run: a handler
    /// takes an event with a lower one for older, whatever its time.
    pub(crate) fn first(now_ms: i64) -> Self {
        let text = format!("{:0width$}", now_ms.saturating_mul(1_000), width = Self::WIDTH);
        Self(text.as_bytes().try_into().expect("microseconds in sixteen digits"))
    }

    pub(crate) fn increment(&mut self) {
        for digit in self.0.iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

/// A time in UTC with milliseconds, such as `2026-11-25T07:31:02.114`.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    second: i64,
    text: [u8; Self::WIDTH],
}

impl Time {
    pub(crate) const WIDTH: usize = 23;

    pub(crate) fn new() -> Self {
        Self { second: i64::MIN, text: [b'0'; Self::WIDTH] }
    }

    /// Returns the text of a time in milliseconds since 1970.
    ///
    /// The host drops trailing zeros of the fraction. To keep the width, a millisecond that ends with zero is replaced by the
    /// next one.
    pub(crate) fn at(&mut self, ms: i64) -> &[u8; Self::WIDTH] {
        let ms = if ms % 10 == 0 { ms + 1 } else { ms };
        let second = ms.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.text.copy_from_slice(&iso8601(ms).as_bytes()[..Self::WIDTH]);
        }
        let fraction = usize::try_from(ms.rem_euclid(1000)).expect("below a thousand");
        self.text[Self::WIDTH - 3..].copy_from_slice(&TRIPLES[fraction]);
        &self.text
    }
}
