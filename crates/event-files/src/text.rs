//! Text files: JSON lines, JSON values over several lines, and dead letters.

use std::io::{BufRead, Cursor, Read};

use devicestate_engine::text::error_message;
use serde::de::IgnoredAny;

use crate::{
    MAX_EVENT_BYTES,
    dead_letters::{self, DeadLetters},
    event::FileEvent,
    values::Values,
};

/// The byte order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A text file of events.
pub(crate) enum Text {
    /// Each line is an event. Lines that are not JSON are invalid events.
    Lines(Lines),
    Values(Values),
    DeadLetters(DeadLetters),
}

impl Text {
    /// Recognizes the form by the first lines.
    pub(crate) fn new(mut reader: Box<dyn BufRead + Send>) -> Result<Self, String> {
        let mut read = Vec::new();
        let mut number = 0;
        let first = loop {
            let start = read.len();
            if read_line(&mut reader, &mut read).map_err(|reason| format!("line {}: {reason}", number + 1))? == 0 {
                return Ok(Self::Lines(Lines::new(reader)));
            }
            number += 1;
            let text = trimmed(&read[start..]);
            if !text.is_empty() {
                break text.to_vec();
            }
        };
        let parsed = serde_json::from_slice::<IgnoredAny>(&first);
        let is_incomplete = parsed.as_ref().is_err_and(serde_json::Error::is_eof);
        let has_values = match first.first() {
            Some(b'{') => is_incomplete,
            // An array alone contains the events. If more lines follow, each is an event of several records.
            Some(b'[') => is_incomplete || parsed.is_ok() && !has_another_line(&mut reader, &mut read)?,
            // JSON in a JSON string.
            Some(b'"') => match serde_json::from_slice::<String>(&first) {
                Ok(text) if text.trim_start().starts_with(['{', '[']) => false,
                _ => return Err(not_json(number)),
            },
            _ => return Err(not_json(number)),
        };
        let is_export = !has_values && dead_letters::is_line_of_export(&first);
        let reader: Box<dyn BufRead + Send> = Box::new(Cursor::new(read).chain(reader));
        Ok(if has_values {
            Self::Values(Values::new(reader))
        } else if is_export {
            Self::DeadLetters(DeadLetters::new(Lines::new(reader)))
        } else {
            Self::Lines(Lines::new(reader))
        })
    }

    pub(crate) fn next_event(&mut self) -> Result<Option<FileEvent>, String> {
        let event = |(line, body)| FileEvent { line: Some(line), body, ..FileEvent::default() };
        Ok(match self {
            Self::Lines(lines) => lines.next_line()?.map(event),
            Self::Values(values) => values.next_value()?.map(event),
            Self::DeadLetters(letters) => letters.next_event()?,
        })
    }
}

fn not_json(line: u64) -> String {
    format!(
        "line {line} is not a JSON object, as if the file were CSV or binary; convert it to one JSON event per line"
    )
}

/// Appends the next lines, up to one that is not blank. Returns whether there is one.
fn has_another_line(reader: &mut impl BufRead, read: &mut Vec<u8>) -> Result<bool, String> {
    loop {
        let start = read.len();
        if read_line(reader, read)? == 0 {
            return Ok(false);
        }
        if !trimmed(&read[start..]).is_empty() {
            return Ok(true);
        }
    }
}

/// Appends the next line with its line end, or the beginning of one that is too long. Returns how many bytes it has.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<usize, String> {
    let limit = MAX_EVENT_BYTES as u64 + 1;
    reader.take(limit).read_until(b'\n', line).map_err(|error| error_message(&error))
}

/// Returns a line without white space around it. Editors write a byte order mark at the start of a file, and files are appended
/// to others.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii()
}

/// The lines of a text.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    number: u64,
}

impl Lines {
    fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, number: 0 }
    }

    /// Reads to the next line that is not blank. Returns it with its number, or `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>, String> {
        loop {
            let mut line = Vec::new();
            let length = read_line(&mut self.reader, &mut line)
                .map_err(|reason| format!("after line {}: {reason}", self.number))?;
            if length > MAX_EVENT_BYTES {
                let limit = MAX_EVENT_BYTES >> 20;
                return Err(format!("after line {}: the next line is longer than {limit} MiB", self.number));
            }
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            let text = trimmed(&line);
            if !text.is_empty() {
                return Ok(Some((self.number, text.to_vec())));
            }
        }
    }
}
