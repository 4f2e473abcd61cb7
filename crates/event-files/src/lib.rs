//! Reads files of events for `local` and the commands that inspect telemetry. [`EventFile::open`] recognizes the form:
//!
//! * JSON lines: each line is an event, whatever it contains
//! * JSON values that span several lines, one after the other; the elements of a JSON array are events
//! * an Avro file of Event Hubs Capture, with the metadata of each event
//! * the lines of `devicestate dead-letters export`, with the metadata of each event
//!
//! Text is UTF-8 or UTF-16, and each form may be compressed with gzip. A file is read as a stream, in bounded memory.

mod capture;
mod dead_letters;
mod encoding;
mod event;
mod text;
mod utf16;
mod values;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, IsTerminal as _, Read},
    path::Path,
};

use devicestate_engine::text::error_message;
use devicestate_terminal::print_message;
use flate2::read::MultiGzDecoder;

use capture::Capture;
use encoding::{Encoding, START_BYTES, encoding};
pub use event::FileEvent;
use text::Text;
use utf16::Utf16;

/// The longest accepted event. The largest event that any Event Hubs tier accepts has 20 MB.
const MAX_EVENT_BYTES: usize = 32 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name} cannot be read: {reason}")]
pub struct EventFileError {
    name: String,
    reason: String,
}

/// A file of events. It is an iterator, which ends after an error.
pub struct EventFile {
    name: String,
    form: Form,
    /// The first event, which was read to check the form of the file.
    first: Option<FileEvent>,
    has_failed: bool,
}

enum Form {
    Text(Text),
    Capture(Box<Capture>),
}

impl EventFile {
    /// Opens a file, or standard input for `-`, and reads the first event.
    ///
    /// # Errors
    ///
    /// Returns an [`EventFileError`] that says what the file is instead, and how to convert it.
    pub fn open(path: &Path) -> Result<Self, EventFileError> {
        let is_standard_input = path.as_os_str() == "-";
        let name =
            if is_standard_input { "standard input".into() } else { format!("the input file {}", path.display()) };
        let failed = |reason: String| EventFileError { name: name.clone(), reason };
        let io_error = |error: io::Error| failed(error_message(&error));
        let input: Box<dyn Read + Send> = if is_standard_input {
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
        let text = |reader: Box<dyn BufRead + Send>| Text::new(reader).map(Form::Text);
        let form = match encoding(&start).map_err(|reason| failed(reason.into()))? {
            Encoding::Utf8 => text(Box::new(buffered(input))),
            Encoding::Utf16 { is_big_endian } => text(Box::new(buffered(Utf16::new(buffered(input), is_big_endian)))),
            Encoding::Avro => Capture::new(Box::new(buffered(input))).map(Box::new).map(Form::Capture),
        };
        let mut form = form.map_err(failed)?;
        let first = form.next_event().map_err(|reason| EventFileError { name: name.clone(), reason })?;
        Ok(Self { name, form, first, has_failed: false })
    }
}

impl Form {
    fn next_event(&mut self) -> Result<Option<FileEvent>, String> {
        match self {
            Self::Text(text) => text.next_event(),
            Self::Capture(capture) => capture.next_event(),
        }
    }
}

impl Iterator for EventFile {
    type Item = Result<FileEvent, EventFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.has_failed {
            return None;
        }
        self.form.next_event().transpose().map(|event| {
            event.map_err(|reason| {
                self.has_failed = true;
                EventFileError { name: self.name.clone(), reason }
            })
        })
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
