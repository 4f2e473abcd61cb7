//! How long a message is held that is to come again.
//!
//! A message that is given back is delivered again at once, and its deliveries are counted: an outage of seconds would use
//! them up, and put the stream into the dead-letter sub-queue. So the handler itself waits before it answers, as the host
//! does between the attempts of a batch. Only the message's session waits: the lock on it is held and renewed meanwhile.

use std::time::Duration;

/// As `minimumInterval` of the retry policy that ships for batches.
const SHORTEST: Duration = Duration::from_secs(1);

/// For how long, counted from the begin of the attempt, a failed delivery with this number is held; twice as long for each
/// one more.
pub(super) fn until_given_back(delivery_count: i64) -> Duration {
    // More than a budget's worth of doublings changes nothing.
    let doublings = delivery_count.saturating_sub(1).clamp(0, 31);
    SHORTEST.saturating_mul(1 << doublings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_delivery_is_held_for_a_second_and_each_one_more_for_twice_as_long() {
        let held = [1, 2, 3, 7, i64::MAX].map(until_given_back).map(|held| held.as_secs());
        assert_eq!(held, [1, 2, 4, 64, 1 << 31]);
        assert_eq!(until_given_back(i64::MIN), SHORTEST);
    }
}
