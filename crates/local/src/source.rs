//! Where events come from: a file or standard input, one JSON event a line, plain or gzip.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::hub::Sent;

/// The longest line: the largest event that any Event Hubs tier takes is 20 MB.
const LONGEST_LINE: u64 = 32 << 20;

/// Why no more events come from a source.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct SourceError {
    name: String,
    reason: String,
}

/// Lines of text, each an event.
pub(super) struct Lines {
    name: String,
    reader: Box<dyn BufRead + Send>,
    line: u64,
}

impl Lines {
    /// The lines of a file, or of standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let name = if path.as_os_str() == "-" { PathBuf::from("standard input") } else { path.to_owned() };
        let name = name.display().to_string();
        let failed = |error: io::Error| SourceError { name: name.clone(), reason: error.to_string() };
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
            let read = (&mut self.reader).take(LONGEST_LINE + 1).read_until(b'\n', &mut body);
            match read {
                Ok(0) => return None,
                Ok(_) if body.len() as u64 > LONGEST_LINE => {
                    return Some(Err(self.error(format!("a line is longer than {} MiB", LONGEST_LINE >> 20))));
                }
                Ok(_) => self.line += 1,
                Err(error) => return Some(Err(self.error(format!("it cannot be read on: {error}")))),
            }
            let text = body.trim_ascii();
            if !text.is_empty() {
                let partition_key = device_id(text);
                return Some(Ok(Sent { body: text.to_vec(), partition_key, content_type: None }));
            }
        }
    }
}

/// The partition key of an event: its device. What has none is sent without a key, and left to the handler.
fn device_id(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Device {
        #[serde(rename = "deviceId", alias = "DeviceId")]
        device_id: String,
    }

    serde_json::from_slice::<Device>(text).ok().map(|device| device.device_id).filter(|id| !id.is_empty())
}
