//! The devices that were found to be faulty lately, over all batches of the process.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a faulty device is remembered after its last failure: long enough that a device that keeps sending is tried
/// once per batch, and short enough that a repaired document gets all its tries again.
const MEMORY_TIME: Duration = Duration::from_mins(10);

/// The maximum number of devices that are remembered. More than a few are an outage of the store.
const MAX_REMEMBERED: usize = 4_096;

/// The faulty devices, by device id.
///
/// They are in memory. A restart of the handler only means that a device is found to be faulty once more.
#[derive(Debug, Default)]
pub(super) struct FaultyDevices(Mutex<HashMap<String, Instant>>);

impl FaultyDevices {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a device from now on. If there are too many, the one that failed first is forgotten.
    pub(super) fn remember(&self, device: &str) {
        let now = Instant::now();
        let mut devices = self.lock();
        devices.retain(|_, failed| now < *failed + MEMORY_TIME);
        if devices.len() >= MAX_REMEMBERED && !devices.contains_key(device) {
            let oldest = devices.iter().min_by_key(|(_, failed)| **failed).map(|(device, _)| device.clone());
            oldest.map(|oldest| devices.remove(&oldest));
        }
        devices.insert(device.to_owned(), now);
    }

    /// Forgets a device whose document was written.
    pub(super) fn forget(&self, device: &str) {
        self.lock().remove(device);
    }

    /// Returns those of these devices that are remembered.
    pub(super) fn among<'d>(&self, devices: impl Iterator<Item = &'d str>) -> HashSet<String> {
        let remembered = self.lock();
        if remembered.is_empty() {
            return HashSet::new();
        }
        let now = Instant::now();
        let is_remembered = |device: &&str| remembered.get(*device).is_some_and(|failed| now < *failed + MEMORY_TIME);
        devices.filter(is_remembered).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_device_is_remembered_for_ten_minutes_after_its_last_failure() {
        let faulty = FaultyDevices::default();
        let is_remembered = || !faulty.among(["d"].into_iter()).is_empty();
        faulty.remember("d");
        tokio::time::advance(Duration::from_mins(9)).await;
        assert!(is_remembered());
        faulty.remember("d");
        tokio::time::advance(Duration::from_mins(9)).await;
        assert!(is_remembered());
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(!is_remembered());
        faulty.remember("d");
        faulty.forget("d");
        assert!(!is_remembered());
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_remembered_devices_is_limited() {
        let faulty = FaultyDevices::default();
        for number in 0..=MAX_REMEMBERED {
            faulty.remember(&number.to_string());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let known = faulty.among(["0", "1", "4096"].into_iter());
        assert_eq!(known, HashSet::from(["1", "4096"].map(str::to_owned)));
    }
}
