//! Decodes a single event as a batch is decoded, for tools that show what the handler would do.

use super::decoded::{ValidRecord, check, decode, is_other_message};
use crate::{
    batch::Event,
    failure::Failure,
    telemetry::{Decoded, RecordEnd, Telemetry},
};

/// What the handler does with one record of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum InspectedRecord {
    /// It is merged into the document of its device.
    Decoded(Decoded),
    /// It has fields, but no reading, so nothing of it is stored.
    Unrecognized(Decoded),
    /// It is not telemetry.
    Ignored,
    /// Its event becomes a dead letter.
    Failed(Failure),
}

/// Decodes an event, and returns at least one record. A record may have at most `max_readings` readings.
#[must_use]
pub fn inspect(telemetry: &dyn Telemetry, event: &Event, max_readings: usize) -> Vec<InspectedRecord> {
    if is_other_message(event) {
        return vec![InspectedRecord::Ignored];
    }
    let (mut readings, mut ends) = (Vec::new(), Vec::new());
    if let Err(failure) = decode(telemetry, event, &mut readings, &mut ends) {
        return vec![InspectedRecord::Failed(failure)];
    }
    if ends.is_empty() {
        return vec![InspectedRecord::Ignored];
    }
    let records = ends.into_iter().map(|RecordEnd { readings: range, result }| {
        let readings = &readings[range];
        match check(result, readings, max_readings) {
            Ok(None) => InspectedRecord::Ignored,
            Err(failure) => InspectedRecord::Failed(failure),
            Ok(Some(ValidRecord { device_id, time, skipped })) => {
                let decoded = Decoded { device_id: device_id.into_owned(), time, readings: readings.to_vec(), skipped };
                if decoded.is_unrecognized() {
                    InspectedRecord::Unrecognized(decoded)
                } else {
                    InspectedRecord::Decoded(decoded)
                }
            }
        }
    });
    records.collect()
}
