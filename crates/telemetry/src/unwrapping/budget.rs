//! What the body of one event may become, however often it is packed.

use devicestate_engine::telemetry::{Poison, compression::unpack_limit};

use crate::mapping::MAX_RECORDS;

/// What is left of the limits of an event. All its layers and parts share them.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes that may be unpacked.
    pub(crate) bytes: usize,
    /// Values of other formats than JSON: a null of Avro has no bytes, so a few bytes can be any number of values.
    values: usize,
    /// Records of Avro files.
    records: usize,
    /// The size of the event's body, for messages.
    pub(crate) packed_bytes: usize,
}

impl Budget {
    pub(crate) fn new(packed_bytes: usize) -> Self {
        let bytes = unpack_limit(packed_bytes);
        Self { bytes, values: bytes.min(1_000_000), records: MAX_RECORDS, packed_bytes }
    }

    /// Takes one value; `None` if there were too many.
    pub(crate) fn take_value(&mut self) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        Some(())
    }

    /// Takes records of an Avro file.
    ///
    /// # Errors
    ///
    /// Returns a [`Poison`] if there are too many.
    pub(crate) fn take_records(&mut self, count: usize) -> Result<(), Poison> {
        let too_many =
            || Poison::Invalid(format!("the Avro file has more than {MAX_RECORDS} records: send several files"));
        self.records = self.records.checked_sub(count).ok_or_else(too_many)?;
        Ok(())
    }
}
