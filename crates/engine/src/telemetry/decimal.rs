//! Decimal numbers such as `122.024382`, without their signs.

/// The maximum number of digits that [`digits`] reads without an overflow.
pub const MAX_DIGITS: usize = 19;

const POWERS: [u64; MAX_DIGITS + 1] = {
    let mut powers = [1; MAX_DIGITS + 1];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// Appends the digits at the start of a text to the integer, and returns their count. With more than [`MAX_DIGITS`] the integer
/// overflows and must not be used.
#[inline]
pub fn digits(integer: &mut u64, text: &[u8]) -> usize {
    let mut count = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *integer = integer.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    count
}

/// Returns the double nearest to `integer` / 10^`places`; of two, the even one. `places` is at most [`MAX_DIGITS`].
#[inline]
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the conversions are exact, or round as the result must be")]
pub fn nearest_double(integer: u64, places: usize) -> f64 {
    let power = POWERS[places];
    if integer <= 1 << f64::MANTISSA_DIGITS {
        // Both are exact, since 10^19 is 5^19 · 2^19 and 5^19 has 45 bits. So the division rounds once.
        return integer as f64 / power as f64;
    }
    nearest_quotient(integer, power)
}

/// Returns the double nearest to the quotient of two integers that are not 0.
#[expect(clippy::cast_precision_loss, reason = "it rounds as the result must be")]
fn nearest_quotient(integer: u64, power: u64) -> f64 {
    let (integer_zeros, power_zeros) = (integer.leading_zeros(), power.leading_zeros());
    let dividend = u128::from(integer << integer_zeros) << 63;
    let divisor = u128::from(power << power_zeros);
    // From 2^62 to below 2^64: these are more bits than a double has, so the lowest one can stand for all that follow.
    let quotient = dividend / divisor;
    let has_remainder = quotient * divisor != dividend;
    #[expect(clippy::cast_possible_truncation, reason = "it is below 2^64")]
    let bits = quotient as u64 | u64::from(has_remainder);
    // A power of two from 2^-126 to 2^0, so that the product is exact.
    let exponent = 1023 - 63 + u64::from(power_zeros) - u64::from(integer_zeros);
    bits as f64 * f64::from_bits(exponent << (f64::MANTISSA_DIGITS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that a number is the double that the standard library reads.
    fn assert_nearest(integer: u64, places: usize) {
        let text = format!("{integer}e-{places}");
        let expected: f64 = text.parse().expect("a number");
        assert_eq!(nearest_double(integer, places).to_bits(), expected.to_bits(), "{text}");
    }

    #[test]
    fn numbers_are_the_nearest_doubles() {
        let mut random = fastrand::Rng::with_seed(27);
        for places in 0..=MAX_DIGITS {
            for integer in [0, 1, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX - 1, u64::MAX] {
                assert_nearest(integer, places);
            }
            // Integers between two doubles, and quotients that are nearly so.
            for bits in 54..64 {
                let between = (random.u64(1 << (bits - 1)..=u64::MAX >> (64 - bits)) >> (bits - 54) | 1) << (bits - 54);
                for integer in [between - 1, between, between + 1] {
                    assert_nearest(integer, places);
                }
            }
            for _ in 0..2_000 {
                assert_nearest(random.u64(..) >> random.u32(..64), places);
            }
        }
    }

    #[test]
    fn digits_end_at_another_byte() {
        for (text, expected) in [("", (0, 0)), ("x", (0, 0)), ("5", (5, 1)), ("0120:", (120, 4)), ("7/", (7, 1))] {
            let mut integer = 0;
            let count = digits(&mut integer, text.as_bytes());
            assert_eq!((integer, count), expected, "{text}");
        }
    }
}
