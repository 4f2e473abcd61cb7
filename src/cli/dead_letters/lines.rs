//! Reads the lines of an export, in bounded memory.

use std::io::{self, BufRead};

/// The longest line, in bytes: longer than that of the largest request of the Functions host. A line is in memory as a whole.
const MAX_LINE_BYTES: usize = 512 << 20;

/// The number of bytes after which a chunk gets no more lines.
const MAX_CHUNK_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line without its line end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(Vec<u8>),
    /// It exceeds the limit in bytes, and was skipped.
    TooLong {
        limit: usize,
    },
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim_ascii().is_empty())
    }
}

/// Why a file is not an export.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotAnExport(String);

/// The lines of an export, as bytes, so that a line that is not UTF-8 does not affect the others.
pub(super) struct Lines<R> {
    input: R,
    max_line_bytes: usize,
    max_chunk_bytes: usize,
    number: usize,
    is_checked: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, max_line_bytes: MAX_LINE_BYTES, max_chunk_bytes: MAX_CHUNK_BYTES, number: 0, is_checked: false }
    }

    /// Returns the next lines with their numbers, from 1: at most so many, and fewer if they are long. Empty at the end.
    ///
    /// # Errors
    ///
    /// Returns the errors of the input, and a [`NotAnExport`] if the first line cannot be one of an export.
    pub(super) fn next_chunk(&mut self, max_lines: usize) -> io::Result<Vec<(usize, Line)>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < max_lines && bytes < self.max_chunk_bytes {
            let Some(mut line) = self.next_line()? else { break };
            self.number += 1;
            if let Line::Text(text) = &mut line {
                if self.number == 1 && text.starts_with(BYTE_ORDER_MARK) {
                    text.drain(..BYTE_ORDER_MARK.len());
                }
                bytes += text.len();
            }
            if !self.is_checked && !line.is_empty() {
                self.is_checked = true;
                if let Line::Text(text) = &line {
                    check_first_line(text, self.number).map_err(io::Error::other)?;
                }
            }
            lines.push((self.number, line));
        }
        Ok(lines)
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        let (mut text, mut is_too_long, mut is_at_end) = (Vec::new(), false, true);
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            if available.is_empty() {
                break;
            }
            is_at_end = false;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            is_too_long |= text.len() + part.len() > self.max_line_bytes;
            if is_too_long {
                text = Vec::new();
            } else {
                text.extend_from_slice(part);
            }
            let read = part.len() + usize::from(end.is_some());
            self.input.consume(read);
            if end.is_some() {
                break;
            }
        }
        Ok(match (is_at_end, is_too_long) {
            (true, _) => None,
            (_, true) => Some(Line::TooLong { limit: self.max_line_bytes }),
            _ => Some(Line::Text(text)),
        })
    }
}

/// Checks that the first line can be one of an export: a JSON object.
fn check_first_line(line: &[u8], number: usize) -> Result<(), NotAnExport> {
    let text = line.trim_ascii();
    let reason = match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [b'{', 0, ..] => {
            "it is UTF-16 text, as `>` of Windows PowerShell writes it. Convert it to UTF-8, for example with `iconv -f UTF-16 \
             -t UTF-8`, and export with `--file FILE`"
                .to_owned()
        }
        [0x1f, 0x8b, ..] => {
            "it is compressed with gzip. Use `gunzip -c FILE | devicestate dead-letters import --file -`".to_owned()
        }
        [b'{', _, ..] => return Ok(()),
        _ => {
            let start: String = String::from_utf8_lossy(text).chars().take(20).collect();
            format!(
                "line {number} starts with {start:?}, and each line must be one JSON object, as `dead-letters export` writes it"
            )
        }
    };
    Err(NotAnExport(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Lines<&[u8]> {
        Lines { max_line_bytes: 8, max_chunk_bytes: 10, ..Lines::new(input) }
    }

    fn text(text: &str) -> Line {
        Line::Text(text.into())
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_named() {
        let mut lines = lines(b"{12345}\n{1234567}\n\n{1234567890123456789}\n{8}");
        let all: Vec<_> =
            std::iter::from_fn(|| Some(lines.next_chunk(9).expect("lines")).filter(|lines| !lines.is_empty()))
                .flatten()
                .collect();
        let too_long = || Line::TooLong { limit: 8 };
        assert_eq!(all, [(1, text("{12345}")), (2, too_long()), (3, text("")), (4, too_long()), (5, text("{8}"))]);
    }

    #[test]
    fn a_chunk_ends_after_so_many_lines_or_bytes() {
        let mut lines = lines(b"{23456}\n{23456}\n{23456}\n{}\n{}\n{}\n");
        let sizes: Vec<_> = (0..4).map(|_| lines.next_chunk(3).expect("lines").len()).collect();
        assert_eq!(sizes, [2, 3, 1, 0]);
    }

    #[test]
    fn a_byte_order_mark_and_empty_lines_before_the_first_line_are_skipped() {
        assert_eq!(lines(b"\xef\xbb\xbf{1}\r\n").next_chunk(1).expect("lines"), [(1, text("{1}\r"))]);
        assert_eq!(lines(b"\n \n{1}").next_chunk(9).expect("lines").len(), 3);
        assert_eq!(lines(b"\xef\xbb\xbf").next_chunk(9).expect("lines"), [(1, text(""))]);
    }
}
