//! The outcomes of the events of one device.

use super::{
    Outcome,
    decoded::{Device, DeviceRecord, device_state},
};
use crate::{
    device_state::Document,
    failure::{ErrorClass, Failure, Stage},
    store::StoreError,
};

/// Returns the outcome of each event, counted against the document before the batch.
pub(super) fn outcomes(before: Option<&Document>, records: &[DeviceRecord]) -> impl Iterator<Item = Outcome> {
    let is_newer = move |record: &DeviceRecord| match before {
        Some(document) => document.is_older_than(record.version, record.readings),
        None => true,
    };
    let has_readings = |record: &DeviceRecord| !record.readings.is_empty();
    let is_applied = move |record: &DeviceRecord| is_newer(record) || !has_readings(record);
    records.iter().map(move |record| if is_applied(record) { Outcome::Applied } else { Outcome::Superseded })
}

/// Returns the outcome of an event whose device could not be written. That of a refusal may still become systemic.
pub(super) fn unwritten_outcome(device: &Device, record: &DeviceRecord, error: &StoreError) -> Outcome {
    let failure = |class| failure(device, record, class, &error.to_string());
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) => Outcome::Failed(failure(ErrorClass::Poison)),
        StoreError::Conflict | StoreError::Transient(_) | StoreError::Refused(_) => {
            Outcome::Unresolved(failure(ErrorClass::Transient))
        }
        StoreError::Throttled { .. } => Outcome::Unresolved(failure(ErrorClass::Throttled)),
        StoreError::Systemic(_) => Outcome::Unresolved(failure(ErrorClass::Systemic)),
    }
}

/// Returns the failure of an event whose device could not be written.
pub(super) fn failure(device: &Device, record: &DeviceRecord, class: ErrorClass, reason: &str) -> Failure {
    let Device { id, name, .. } = device;
    Failure {
        stage: Stage::Update,
        class,
        issue: format!("the state document {id:?} was not written: {reason}"),
        device_id: Some((*name).to_owned()),
        device_state: Some(device_state(name, record.readings)),
        other_devices: Vec::new(),
    }
}
