//! What operations cost.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Request units that operations cost, as they are added up by several tasks. A store without a price adds nothing.
#[derive(Debug, Default)]
pub struct RequestCharge {
    /// The service tells hundredths.
    hundredths: AtomicU64,
}

impl RequestCharge {
    /// Adds the charge of a request.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a charge is a small number from 0 on")]
    pub fn add(&self, units: f64) {
        self.hundredths.fetch_add((units * 100.0).round() as u64, Relaxed);
    }

    /// The request units so far.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody has paid for 2^52 request units yet")]
    pub fn units(&self) -> f64 {
        self.hundredths.load(Relaxed) as f64 / 100.0
    }
}
