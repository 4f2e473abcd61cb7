//! Events from a file or standard input: one JSON event per line, in UTF-8 or UTF-16, plain or gzip.

mod shape;
mod utf16;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, IsTerminal as _, Read},
    path::Path,
};

use devicestate_engine::text::error_message;
use devicestate_terminal::print_message;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::hub::Sent;
use shape::{Encoding, START_BYTES};
use utf16::Utf16;

/// The longest accepted line. The largest event that any Event Hubs tier accepts has 20 MB.
const MAX_LINE_BYTES: u64 = 32 << 20;

/// The byte order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

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
    /// The first event, which was read to check the form of the input.
    first: Option<Vec<u8>>,
}

impl Lines {
    /// Opens a file, or standard input for `-`, and reads the first event.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let name = if path.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            format!("the input file {}", path.display())
        };
        let failed = |reason: String| SourceError { name: name.clone(), reason };
        let io_error = |error: io::Error| failed(error_message(&error));
        let input: Box<dyn Read + Send> = if path.as_os_str() == "-" {
            if io::stdin().is_terminal() {
                print_message("Reading events from the terminal, one JSON event per line. End with Ctrl-D.");
            }
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).map_err(io_error)?)
        };
        let (start, input) = read_start(input).map_err(io_error)?;
        let (start, input): (_, Box<dyn Read + Send>) = if start.starts_with(b"\x1f\x8b") {
            let (start, input) = read_start(MultiGzDecoder::new(buffered(input))).map_err(io_error)?;
            (start, Box::new(input))
        } else {
            (start, Box::new(input))
        };
        let reader: Box<dyn BufRead + Send> = match shape::encoding(&start).map_err(|reason| failed(reason.into()))? {
            Encoding::Utf8 => Box::new(buffered(input)),
            Encoding::Utf16 { is_big_endian } => Box::new(buffered(Utf16::new(buffered(input), is_big_endian))),
        };
        let mut lines = Self { name, reader, line: 0, first: None };
        lines.first = lines.read_event()?;
        if let Some(first) = &lines.first {
            let failed = |reason: &str| SourceError {
                name: lines.name.clone(),
                reason: format!("line {} {reason}", lines.line),
            };
            shape::check_first_line(first).map_err(failed)?;
        }
        Ok(lines)
    }

    /// Reads lines to the next one that is not blank. `None` at the end.
    fn read_event(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        loop {
            let mut line = Vec::new();
            match (&mut self.reader).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line) {
                Ok(0) => return Ok(None),
                Ok(_) if line.len() as u64 > MAX_LINE_BYTES => {
                    return Err(self.error(format!("the next line is longer than {} MiB", MAX_LINE_BYTES >> 20)));
                }
                Ok(_) => self.line += 1,
                Err(error) => return Err(self.error(error_message(&error))),
            }
            // Editors write a byte order mark at the start of a file, and files are appended to others.
            let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line).trim_ascii();
            if !text.is_empty() {
                return Ok(Some(text.to_vec()));
            }
        }
    }

    fn error(&self, reason: impl std::fmt::Display) -> SourceError {
        SourceError { name: self.name.clone(), reason: format!("after line {}: {reason}", self.line) }
    }
}

impl Iterator for Lines {
    type Item = Result<Sent, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let body = match self.first.take() {
            Some(first) => first,
            None => match self.read_event() {
                Ok(body) => body?,
                Err(error) => return Some(Err(error)),
            },
        };
        let partition_key = device_id(&body);
        Some(Ok(Sent { body, partition_key, ..Sent::default() }))
    }
}

/// Reads the first bytes of an input. Returns them, and the whole input.
fn read_start<R: Read>(mut input: R) -> io::Result<(Vec<u8>, impl Read + use<R>)> {
    let mut start = Vec::new();
    input.by_ref().take(START_BYTES).read_to_end(&mut start)?;
    Ok((start.clone(), Cursor::new(start).chain(input)))
}

fn buffered<R: Read>(input: R) -> BufReader<R> {
    BufReader::with_capacity(1 << 16, input)
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
