//! Writes a first telemetry file from a sample of events, by the usual names and formats. Units, ranges and what is required
//! cannot be inferred: the reader of the file adds them.

mod choose;
mod records;
mod sample;
mod write;

use crate::{
    file::{Mistakes, TelemetryFile},
    mapping::shortened,
};

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
    #[error("no field of the sample looks like a device id: name it with --device, {0}")]
    NoDevice(String),
    /// A source that the caller chose is not one.
    #[error("the option {option} is not valid: {problem}")]
    InvalidSource {
        /// The option.
        option: &'static str,
        /// Why not, and what would be right.
        problem: String,
    },
}

/// What the caller knows about the events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The source of the device id.
    pub device: Option<String>,
    /// The source of the time.
    pub time: Option<String>,
}

impl Sample {
    /// Infers the telemetry file.
    ///
    /// # Errors
    ///
    /// Returns an [`InferError`] if the device id cannot be found, or if a known source is not valid.
    pub fn infer(&self, known: &Known) -> Result<Inference, InferError> {
        let layout = records::find_layout(self);
        let table = sample::Table::new(self, &layout);
        if table.records == 0 {
            return Err(InferError::NoObjects(self.first_failure()));
        }
        let mut notes = vec![format!("sample: {} with {}", count(self.len(), "event"), count(table.records, "record"))];
        let device = match &known.device {
            Some(source) => {
                check_source("--device", source, &table)?;
                choose::chosen_device(&table, source)
            }
            None => {
                choose::device(&table, self).ok_or_else(|| InferError::NoDevice(choose::device_candidates(&table)))?
            }
        };
        let time = match &known.time {
            Some(source) => {
                check_source("--time", source, &table)?;
                let time = table.fields.get(source).and_then(|field| choose::time_at(source, field, self));
                let problem = || format!("the values at `{}` are not times of one format", shortened(source));
                Some(time.ok_or_else(|| InferError::InvalidSource { option: "--time", problem: problem() })?)
            }
            None => choose::time(&table, self, &device.from),
        };
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

/// Checks a source that the caller chose: one in the body must be in the sample.
fn check_source(option: &'static str, source: &str, table: &sample::Table) -> Result<(), InferError> {
    let invalid = |problem| InferError::InvalidSource { option, problem };
    let file = serde_json::json!({ "device": source }).to_string();
    TelemetryFile::parse(file.as_bytes()).map_err(|Mistakes(mistakes)| {
        invalid(mistakes.into_iter().next().map(|mistake| mistake.message).unwrap_or_default())
    })?;
    let is_in_body = source.starts_with('/') || source.starts_with("body:");
    if is_in_body && !table.fields.contains_key(source) {
        let (source, sources) = (shortened(source), table.sources());
        return Err(invalid(format!("no record of the sample has a value at `{source}`; there are {sources}")));
    }
    Ok(())
}

/// Returns a count with its noun.
fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
