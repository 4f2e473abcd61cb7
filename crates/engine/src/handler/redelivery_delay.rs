//! The delay before a Service Bus message is released for redelivery.
//!
//! Service Bus redelivers a released message immediately and counts its deliveries. An outage of seconds would use them up
//! and move the message to the dead-letter sub-queue. So the handler delays its response, as the host does between the
//! attempts of a batch. Only the message's session waits; the host renews the session lock meanwhile.

use std::time::Duration;

/// The delay after the first delivery: the `minimumInterval` of the retry policy that ships for batches.
const MIN_REDELIVERY_DELAY: Duration = Duration::from_secs(1);

/// Returns the time from the start of a failed delivery to its release. It doubles with each delivery.
///
/// `delivery_count` is the number of the delivery, from 1.
pub(super) fn redelivery_delay(delivery_count: i64) -> Duration {
    // The caller limits the delay to InvocationBudget, which 31 doublings exceed.
    let doublings = delivery_count.saturating_sub(1).clamp(0, 31);
    MIN_REDELIVERY_DELAY.saturating_mul(1 << doublings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redelivery_delay_starts_at_a_second_and_doubles() {
        let seconds = [1, 2, 3, 7, i64::MAX].map(redelivery_delay).map(|delay| delay.as_secs());
        assert_eq!(seconds, [1, 2, 4, 64, 1 << 31]);
        assert_eq!(redelivery_delay(i64::MIN), MIN_REDELIVERY_DELAY);
    }
}
