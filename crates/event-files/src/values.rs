//! JSON values that may span several lines, as a stream: one after the other, or the elements of arrays.

use std::io::{self, BufRead};

use devicestate_engine::text::error_message;
use serde::de::IgnoredAny;

use crate::MAX_EVENT_BYTES;

/// Deeper values are not checked here, because the parser has a limit; the handler rejects them.
const MAX_CHECKED_DEPTH: usize = 100;

/// A stream of JSON values.
pub(crate) struct Values {
    reader: Box<dyn BufRead + Send>,
    /// The current line, from 1.
    line: u64,
    state: State,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value outside an array, or the end.
    Value,
    /// The first element of an array, or its end.
    FirstElement,
    /// An element, after a comma.
    Element,
    /// A comma or the end of an array.
    Comma,
}

impl Values {
    pub(crate) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, line: 1, state: State::Value }
    }

    /// Reads the next value. Returns it with its first line, or `None` at the end.
    pub(crate) fn next_value(&mut self) -> Result<Option<(u64, Vec<u8>)>, String> {
        loop {
            let next = self.skip_white_space().map_err(|error| self.at_line(error_message(&error)))?;
            let state = match (self.state, next) {
                (State::Value, None) => return Ok(None),
                (_, None) => return Err(self.at_line("the file ends within an array")),
                (State::Value, Some(b'[')) => State::FirstElement,
                (State::FirstElement | State::Comma, Some(b']')) => State::Value,
                (State::Comma, Some(b',')) => State::Element,
                (State::Comma, Some(_)) => return Err(self.at_line("expected `,` or `]` after an element of an array")),
                (State::Value, Some(byte)) if byte != b'{' => {
                    return Err(self.at_line("expected a JSON object or the end of the file"));
                }
                (State::Value, Some(_)) => return self.read_value().map(Some),
                (State::FirstElement | State::Element, Some(_)) => {
                    self.state = State::Comma;
                    return self.read_value().map(Some);
                }
            };
            self.reader.consume(1);
            self.state = state;
        }
    }

    /// Skips white space and byte order marks, and returns the next byte without consuming it.
    fn skip_white_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            let Some(byte) = self.reader.fill_buf()?.first().copied() else { return Ok(None) };
            match byte {
                b'\n' => self.line += 1,
                // Between values, the bytes of a byte order mark can be nothing else.
                b' ' | b'\t' | b'\r' | 0xef | 0xbb | 0xbf => {}
                _ => return Ok(Some(byte)),
            }
            self.reader.consume(1);
        }
    }

    fn read_value(&mut self) -> Result<(u64, Vec<u8>), String> {
        let (line, mut value, mut scanner) = (self.line, Vec::new(), Scanner::default());
        let is_complete = loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer.map_err(|error| format!("line {line}: {}", error_message(&error)))?,
            };
            if buffer.is_empty() {
                break false;
            }
            let (length, is_complete) = scanner.advance(buffer);
            value.extend_from_slice(&buffer[..length]);
            self.line += memchr::memchr_iter(b'\n', &buffer[..length]).count() as u64;
            self.reader.consume(length);
            if value.len() > MAX_EVENT_BYTES {
                return Err(format!("line {line}: the value is longer than {} MiB", MAX_EVENT_BYTES >> 20));
            }
            if is_complete {
                break true;
            }
        };
        if scanner.max_depth <= MAX_CHECKED_DEPTH || !is_complete {
            serde_json::from_slice::<IgnoredAny>(&value)
                .map_err(|error| format!("line {}: {}", line + error.line() as u64 - 1, reason(&error)))?;
        }
        Ok((line, value))
    }

    fn at_line(&self, reason: impl std::fmt::Display) -> String {
        format!("line {}: {reason}", self.line)
    }
}

/// Returns the message of an error of a JSON parser without its position in the value.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Finds the end of a JSON value, without checking it.
#[derive(Default)]
struct Scanner {
    depth: usize,
    max_depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    has_started: bool,
}

impl Scanner {
    /// Returns how many bytes belong to the value, and whether it ends there.
    fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (index, &byte) in bytes.iter().enumerate() {
            let is_first = !std::mem::replace(&mut self.has_started, true);
            if self.is_in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => {
                        self.is_in_string = false;
                        if self.depth == 0 {
                            return (index + 1, true);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    self.max_depth = self.max_depth.max(self.depth);
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (index + 1, true);
                    }
                }
                // The end of a number or a name.
                b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                    return if is_first { (1, true) } else { (index, true) };
                }
                _ => {}
            }
        }
        (bytes.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    fn values(text: &'static str, capacity: usize) -> (Vec<(u64, String)>, Option<String>) {
        let mut values = Values::new(Box::new(BufReader::with_capacity(capacity, Cursor::new(text))));
        let mut read = Vec::new();
        loop {
            match values.next_value() {
                Ok(Some((line, value))) => read.push((line, String::from_utf8(value).expect("UTF-8"))),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error)),
            }
        }
    }

    #[test]
    fn values_and_the_elements_of_arrays_are_read_whatever_the_sizes_of_the_reads() {
        let text = "\u{feff}{\n \"a\": \"}\\\"]\"\n}\n{\"b\":[1]}[\n{\"c\": 1} ,\n[2], 3,\"x,]\" ,null]\n[]\u{feff}{}";
        let expected = ["{\n \"a\": \"}\\\"]\"\n}", "{\"b\":[1]}", "{\"c\": 1}", "[2]", "3", "\"x,]\"", "null", "{}"];
        let expected: Vec<_> = [1, 4, 5, 6, 6, 6, 6, 7].into_iter().zip(expected.map(str::to_owned)).collect();
        for capacity in 1..9 {
            assert_eq!(values(text, capacity), (expected.clone(), None), "{capacity}");
        }
    }

    #[test]
    fn an_error_has_the_line_and_the_values_before_it_are_read() {
        for (text, count, expected) in [
            ("{}\n{\"a\":\n 1,]}", 1, "line 3: key must be a string"),
            ("[{},\n{}", 2, "line 2: the file ends within an array"),
            ("[{}\n{}]", 1, "line 2: expected `,` or `]`"),
            ("[{},,{}]", 1, "line 1: expected value"),
            ("[1,]", 1, "line 1: expected value"),
            ("{}\nabc", 1, "line 2: expected a JSON object"),
            ("{}\n{\"a\": \n", 1, "line 3: EOF while parsing"),
        ] {
            let (read, error) = values(text, 4);
            assert_eq!(read.len(), count, "{text}");
            assert!(error.as_ref().is_some_and(|error| error.starts_with(expected)), "{text}: {error:?}");
        }
    }

    #[test]
    fn a_value_of_any_depth_is_read() {
        let deep: &'static str = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500)).leak();
        assert_eq!(values(deep, 64).0, [(1, deep.to_owned())]);
    }
}
