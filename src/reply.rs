//! The reply out: what the host understands, and nothing else.
//!
//! Outputs stand under the exact binding name, as an array of strings: the one form that the queue binding passes on
//! verbatim. `Logs` is an array of strings. The body is never empty, since the host would wait for ever.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

use crate::record::Record;

/// The body of a 2xx reply.
#[derive(Debug)]
pub struct Reply<'a> {
    outputs: Option<(&'a str, &'a [String])>,
    logs: &'a [Record],
}

impl<'a> Reply<'a> {
    /// A reply with these messages for the queue binding of this name, and these records for the host's log.
    #[must_use]
    pub fn new(binding: &'a str, messages: &'a [String], logs: &'a [Record]) -> Self {
        Self { outputs: Some((binding, messages)), logs }
    }

    /// A reply of a function that has no output, with these records for the host's log.
    #[must_use]
    pub fn of_logs(logs: &'a [Record]) -> Self {
        Self { outputs: None, logs }
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.written().ok().and_then(|json| String::from_utf8(json).ok()).expect("texts and records are always JSON")
    }

    fn written(&self) -> serde_json::Result<Vec<u8>> {
        /// What a record takes, and what stands around all of them.
        const RECORD: usize = 1024;
        let (binding, messages) = self.outputs.unwrap_or_default();
        // Messages are JSON, in which about every eighth character has to be escaped.
        let of_messages: usize = messages.iter().map(|message| message.len() + message.len() / 4).sum();
        let mut json = Vec::with_capacity(of_messages + RECORD * (self.logs.len() + 1));
        json.extend_from_slice(br#"{"Outputs":{"#);
        if self.outputs.is_some() {
            serde_json::to_writer(&mut json, binding)?;
            json.push(b':');
            serde_json::to_writer(&mut json, messages)?;
        }
        json.extend_from_slice(br#"},"Logs":["#);
        for (index, record) in self.logs.iter().enumerate() {
            json.extend_from_slice(if index == 0 { br#"""# } else { br#",""# });
            record.serialize(&mut Serializer::with_formatter(&mut json, InString))?;
            json.push(b'"');
        }
        json.extend_from_slice(br#"],"ReturnValue":null}"#);
        Ok(json)
    }
}

/// Writes JSON into a JSON string: each of its quotes and backslashes gets a backslash.
struct InString;

impl Formatter for InString {
    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(br#"\""#)
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(br#"\""#)
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        writer.write_all(br"\")?;
        // Each of them begins with a backslash; these two go on with what has to be escaped itself.
        match escape {
            CharEscape::Quote => writer.write_all(br#"\\""#),
            CharEscape::ReverseSolidus => writer.write_all(br"\\\"),
            other => CompactFormatter.write_char_escape(writer, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::StartRecord;

    #[test]
    fn a_reply_is_json_whatever_its_texts_are() {
        let mut texts: Vec<_> = (0..0x250).filter_map(char::from_u32).map(|c| format!("a{c}{c}b")).collect();
        texts.extend([String::new(), r#"{"a":"\"\\"}"#.to_owned(), "\u{1f681}\u{2028}".to_owned()]);
        let record = |text: &String| {
            let start = StartRecord { version: text.clone(), process_id: 7, port: 8, state_store: "memory".to_owned() };
            Record::Start(start)
        };
        let records: Vec<_> = texts[1..].iter().map(record).collect();
        let lines: Vec<_> = records.iter().map(Record::to_line).collect();
        let reply = Reply::new("name \"of\" it\n", &texts, &records).to_json();
        let expected = serde_json::json!({
            "Outputs": { "name \"of\" it\n": texts }, "Logs": lines, "ReturnValue": null
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&reply).expect("JSON"), expected);
        assert_eq!(Reply::of_logs(&[]).to_json(), r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#);
    }
}
