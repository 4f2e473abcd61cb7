//! Writes a first telemetry file from a sample of events, by the usual names and formats. Units, ranges and what is required
//! cannot be inferred: the reader of the file adds them.

mod choose;
mod records;
mod sample;
mod write;

pub use sample::Sample;

/// A telemetry file that was inferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// The text of the file.
    pub text: String,
    /// What was chosen, and what to check.
    pub notes: Vec<String>,
}

/// Why no telemetry file can be inferred.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// No event has JSON objects.
    #[error("no event of the sample contains a JSON object{0}")]
    NoObjects(String),
    /// No field can be the device id.
    #[error(
        "no field of the sample looks like a device id; write a telemetry file with `device`, one of the fields: {0}"
    )]
    NoDevice(String),
}

impl Sample {
    /// Infers the telemetry file.
    ///
    /// # Errors
    ///
    /// Returns an [`InferError`] if the device id cannot be found.
    pub fn infer(&self) -> Result<Inference, InferError> {
        let layout = records::find_layout(self);
        let table = sample::Table::new(self, &layout);
        if table.records == 0 {
            return Err(InferError::NoObjects(self.first_failure()));
        }
        let mut notes = vec![format!("sample: {} with {}", count(self.len(), "event"), count(table.records, "record"))];
        let device = choose::device(&table, self).ok_or_else(|| InferError::NoDevice(table.names()))?;
        let time = choose::time(&table, self, &device.from);
        let readings = choose::readings(&table, &device, time.as_ref());
        notes.extend(layout.note());
        notes.push(device.note);
        notes.extend(time.as_ref().map_or_else(
            || Some("time: no field looks like a time, so the order is the service's".into()),
            |time| Some(time.note.clone()),
        ));
        notes.extend(readings.notes.iter().cloned());
        if let Some((failed, first)) = self.failures() {
            notes.push(format!("{} could not be read; the first: {first}", count(failed, "event")));
        }
        let text = write::file(&layout, &device.from, time.as_ref(), &readings);
        Ok(Inference { text, notes })
    }
}

/// Returns a count with its noun.
fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
