//! The cost of operations.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The request units of several operations, added up across tasks. A store without request units adds nothing.
#[derive(Debug, Default)]
pub struct RequestCharge {
    /// In hundredths of a request unit, the resolution of the service.
    hundredths: AtomicU64,
}

impl RequestCharge {
    /// Adds the charge of a request.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a charge is a small number and not negative"
    )]
    pub fn add(&self, units: f64) {
        self.hundredths.fetch_add((units * 100.0).round() as u64, Relaxed);
    }

    /// Returns the request units so far.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sum of charges stays far below 2^52")]
    pub fn units(&self) -> f64 {
        self.hundredths.load(Relaxed) as f64 / 100.0
    }
}
