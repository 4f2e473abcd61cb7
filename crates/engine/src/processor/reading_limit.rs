//! The limit of the readings of a document: the setting `MaxReadings`.

use std::collections::HashSet;

use super::decoded::DeviceRecord;
use crate::{device_state::Document, store::StoreError};

/// Returns true if the merge adds fields to the document although it then has more than the limit.
pub(super) fn is_exceeded(before: Option<&Document>, merged: &Document, max_readings: usize) -> bool {
    let count = merged.reading_count();
    count > max_readings && before.is_none_or(|before| before.reading_count() != count)
}

/// Returns for each record the error of the store, if its readings do not fit into the document: it adds fields, and the document,
/// with those of the earlier records, would then have more than the limit.
///
/// All records are decided at once. Writing parts of them until all fit would cost a write for each record that fits.
pub(super) fn too_many(
    before: Option<&Document>,
    records: &[DeviceRecord],
    max_readings: usize,
) -> Vec<Option<StoreError>> {
    let held = before.map_or(0, Document::reading_count);
    let mut added: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
    let decided = records.iter().map(|record| {
        let names = record.readings.iter().map(|reading| &*reading.name);
        let is_new = |name: &&str| !added.contains(name) && before.is_none_or(|before| before.get(name).is_none());
        let new: HashSet<&str, foldhash::fast::RandomState> = names.filter(is_new).collect();
        let count = held + added.len() + new.len();
        if count > max_readings && !new.is_empty() {
            return Some(error(count, max_readings));
        }
        added.extend(new);
        None
    });
    decided.collect()
}

fn error(count: usize, max_readings: usize) -> StoreError {
    StoreError::Rejected(format!(
        "it would have {count} readings, and the setting `MaxReadings` allows {max_readings}: send fewer names, raise the \
         setting, or remove readings from the document"
    ))
}
