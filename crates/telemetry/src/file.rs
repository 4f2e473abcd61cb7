//! Reads the telemetry file, `telemetry.json`, and says what is wrong with it and where.

mod checker;
mod kinds;
mod readings;
mod sources;
mod tree;

use std::fmt;

use checker::{Checker, MistakeAt};
use kinds::KIND;
use tree::Node;

use crate::{
    formats::{AvroFormat, FormatError, ProtobufFormat},
    mapping::Mapping,
};

/// The largest telemetry file.
pub const MAX_FILE_BYTES: usize = 1_048_576;

/// The most mistakes that are returned of a file.
const MAX_MISTAKES: usize = 20;

/// What a telemetry file says.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryFile {
    /// What is read from which part of an event.
    pub mapping: Mapping,
    /// The member `avro`.
    pub avro: Option<AvroFormat>,
    /// The member `protobuf`.
    pub protobuf: Option<ProtobufFormat>,
}

/// A place in the telemetry file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The JSON Pointer to the value or to the member; empty for the entire file.
    pub pointer: String,
}

/// What is wrong at a place in the telemetry file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The place.
    pub place: Place,
    /// What is there, and what would be right.
    pub message: String,
}

/// The mistakes of a telemetry file, in their order; at most the first 20.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl TelemetryFile {
    /// Parses and checks a telemetry file.
    ///
    /// # Errors
    ///
    /// Returns the mistakes: of the syntax only the first.
    pub fn parse(file: &[u8]) -> Result<Self, Mistakes> {
        if file.len() > MAX_FILE_BYTES {
            let message = format!("the file has {} bytes, and {MAX_FILE_BYTES} are allowed", file.len());
            return Err(Mistakes::at_position("", 0, None, message));
        }
        let text = match str::from_utf8(file) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let before = String::from_utf8_lossy(&file[..error.valid_up_to()]);
                let encoding =
                    if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") { ", but UTF-16" } else { "" };
                let message = format!("the file is not UTF-8{encoding}: save it as UTF-8");
                return Err(Mistakes::at_position(&before, before.len(), None, message));
            }
        };
        let root = tree::parse(text).map_err(|error| describe_syntax_error(text, &error))?;
        let mut checker = Checker::default();
        let file = checker.file(&root);
        match file {
            Some(file) if checker.mistakes.is_empty() => Ok(file),
            _ => Err(Mistakes::locate(text, &root, checker.mistakes)),
        }
    }
}

/// Returns the mistake of a file that a valid telemetry file names.
pub(crate) fn mistake_of_format(file: &[u8], error: FormatError) -> Mistakes {
    let text = str::from_utf8(file).unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let at = tree::parse(text).ok().and_then(|root| root.position_of(&error.pointer)).unwrap_or_default();
    Mistakes(vec![Mistake { place: Place::locate(text, at, error.pointer), message: error.message }])
}

impl Checker {
    fn file(&mut self, root: &Node) -> Option<TelemetryFile> {
        let known: Vec<_> = ["$schema", "ignore", "kinds", "avro", "protobuf"].into_iter().chain(KIND).collect();
        let member = self.object(root, "the telemetry file", &known)?;
        if let Some(schema) = member("$schema") {
            self.text(schema, "the URL of the JSON Schema");
        }
        let mapping = self.mapping(&member);
        let avro = self.optional(member("avro"), |checker, node| {
            let member = checker.object(node, "`avro`", &["schemas", "ids"])?;
            let schemas = checker.optional(member("schemas"), Self::paths);
            let ids = checker.optional(member("ids"), |checker, node| {
                let members = checker.members(node, "an object of files of schemas by their ids")?;
                let paths: Vec<_> = members.iter().map(|member| checker.path(&member.value)).collect();
                let names = members.iter().map(|member| member.name.clone());
                names.zip(paths).map(|(name, path)| Some((name, path?))).collect()
            });
            if member("schemas").or(member("ids")).is_none() {
                return checker.add(node.start, "`avro` needs `schemas`, a list of files");
            }
            Some(AvroFormat { schemas: schemas?.unwrap_or_default(), ids: ids?.unwrap_or_default() })
        });
        let protobuf = self.optional(member("protobuf"), |checker, node| {
            let member = checker.object(node, "`protobuf`", &["descriptors", "message"])?;
            let (Some(descriptors), Some(message)) = (member("descriptors"), member("message")) else {
                return checker.add(node.start, "`protobuf` needs `descriptors`, a file, and `message`, a type of it");
            };
            let descriptors = checker.path(descriptors);
            let message = checker.text(message, "the full name of a message").map(str::to_owned);
            Some(ProtobufFormat { descriptors: descriptors?, message: message? })
        });
        Some(TelemetryFile { mapping: mapping?, avro: avro?, protobuf: protobuf? })
    }

    /// Reads one path or a list of them.
    fn paths(&mut self, node: &Node) -> Option<Vec<String>> {
        let paths = self.one_or_more(node, "file")?.into_iter().map(|node| self.path(node));
        let paths: Vec<_> = paths.collect();
        paths.into_iter().collect()
    }

    fn path(&mut self, node: &Node) -> Option<String> {
        match self.text(node, "the path of a file")? {
            "" => self.expected(node, "the path of a file"),
            path => Some(path.to_owned()),
        }
    }
}

fn describe_syntax_error(text: &str, error: &serde_json::Error) -> Mistakes {
    let line_start = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    // The column is of bytes, and of the last byte that was read.
    let at = (line_start + error.column().saturating_sub(1)).min(text.len());
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let rest = text[at..].trim_start();
    let message = if rest.starts_with("//") || rest.starts_with("/*") {
        "comments are not allowed in the telemetry file".to_owned()
    } else {
        format!("the file is not valid JSON: {message}")
    };
    Mistakes::at_position(text, at, None, message)
}

impl Place {
    /// Returns the place of a byte.
    fn locate(text: &str, at: usize, pointer: String) -> Self {
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Self { line, column: before[line_start..].chars().count() + 1, pointer }
    }
}

impl Mistakes {
    fn at_position(text: &str, at: usize, pointer: Option<String>, message: String) -> Self {
        Self(vec![Mistake { place: Place::locate(text, at, pointer.unwrap_or_default()), message }])
    }

    fn locate(text: &str, root: &Node, mut mistakes: Vec<MistakeAt>) -> Self {
        mistakes.sort_by_key(|mistake| mistake.at);
        let located = mistakes.into_iter().take(MAX_MISTAKES).map(|MistakeAt { at, message }| {
            let place = Place::locate(text, at, root.pointer_to(at));
            Mistake { place, message }
        });
        Self(located.collect())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, pointer } = self;
        write!(f, "line {line}, column {column}")?;
        if pointer.is_empty() { Ok(()) } else { write!(f, ", {}", crate::mapping::shortened(pointer)) }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
