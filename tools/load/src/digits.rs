//! Numbers and times as text of a fixed width, so that a request can be made anew by writing over the old ones.

use std::{array, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::text::iso8601;

const DIGITS: &[u8; 10] = b"0123456789";

/// The three digits of each number below a thousand.
const TRIPLES: [[u8; 3]; 1000] = {
    let mut triples = [[0; 3]; 1000];
    let mut number = 0;
    while number < 1000 {
        triples[number] = [DIGITS[number / 100], DIGITS[number / 10 % 10], DIGITS[number % 10]];
        number += 1;
    }
    triples
};

/// The same in base64, of which three bytes are four characters.
static BASE64_TRIPLES: LazyLock<[[u8; 4]; 1000]> = LazyLock::new(|| {
    array::from_fn(|number| {
        let mut text = [0; 4];
        BASE64.encode_slice(TRIPLES[number], &mut text).expect("three bytes are four characters");
        text
    })
});

/// The number of a device in its partition: below a million, in six digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device(pub(crate) u32);

impl Device {
    pub(crate) fn digits(self) -> [u8; 6] {
        self.groups(&TRIPLES).as_flattened().try_into().expect("twice three")
    }

    /// As part of a text in base64 where it begins with a group of three bytes.
    pub(crate) fn base64(self) -> [u8; 8] {
        self.groups(&BASE64_TRIPLES).as_flattened().try_into().expect("twice four")
    }

    fn groups<T: Copy>(self, table: &[T; 1000]) -> [T; 2] {
        [table[self.0 as usize / 1000], table[self.0 as usize % 1000]]
    }
}

/// A sequence number in thirteen digits, which is none that a real partition comes near to, and still exact in a
/// double.
#[derive(Debug, Clone)]
pub(crate) struct SequenceNumber(pub(crate) [u8; 13]);

impl SequenceNumber {
    pub(crate) const FIRST: Self = Self(*b"1000000000000");

    pub(crate) fn rise(&mut self) {
        for digit in self.0.iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

/// A time in milliseconds, as `2026-11-25T07:31:02.114`.
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

    /// The text of the time that is so many milliseconds after 1970.
    ///
    /// The host drops trailing zeros of the fraction, so there is no millisecond that ends with one: it is the next
    /// one.
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
