//! Events from a file or standard input: one JSON event per line, plain or gzip.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use devicestate_engine::text::error_message;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::hub::Sent;

/// The longest accepted line. The largest event that any Event Hubs tier accepts has 20 MB.
const MAX_LINE_BYTES: u64 = 32 << 20;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name} cannot be read: {reason} (option --file)")]
pub struct SourceError {
    name: String,
    reason: String,
}

/// An input of lines, each an event.
pub(super) struct Lines {
    name: String,
    reader: Box<dyn BufRead + Send>,
    line: u64,
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let name = if path.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            format!("the input file {}", path.display())
        };
        let failed = |error: io::Error| SourceError { name: name.clone(), reason: error_message(&error) };
        let input: Box<dyn Read + Send> =
            if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
        let mut reader = BufReader::with_capacity(1 << 16, input);
        let is_gzip = reader.fill_buf().map_err(failed)?.starts_with(b"\x1f\x8b");
        let reader: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader)))
        } else {
            Box::new(reader)
        };
        Ok(Self { name, reader, line: 0 })
    }

    fn error(&self, reason: impl std::fmt::Display) -> SourceError {
        SourceError { name: self.name.clone(), reason: format!("after line {}: {reason}", self.line) }
    }
}

impl Iterator for Lines {
    type Item = Result<Sent, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut body = Vec::new();
            let read = (&mut self.reader).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut body);
            match read {
                Ok(0) => return None,
                Ok(_) if body.len() as u64 > MAX_LINE_BYTES => {
                    return Some(Err(self.error(format!("the next line is longer than {} MiB", MAX_LINE_BYTES >> 20))));
                }
                Ok(_) => self.line += 1,
                Err(error) => return Some(Err(self.error(error_message(&error)))),
            }
            let text = body.trim_ascii();
            if !text.is_empty() {
                let partition_key = device_id(text);
                return Some(Ok(Sent { body: text.to_vec(), partition_key, ..Sent::default() }));
            }
        }
    }
}

/// Returns the partition key of an event: its device id. An event without a device id is sent without a key, and the handler
/// rejects it.
fn device_id(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Device {
        #[serde(rename = "deviceId", alias = "DeviceId")]
        device_id: String,
    }

    serde_json::from_slice::<Device>(text).ok().map(|device| device.device_id).filter(|id| !id.is_empty())
}
