//! Writes the body of a reply, in the only form that the host accepts.
//!
//! The outputs are an array of strings under the exact name of the binding, or the return value: the queue binding passes on
//! only that form unchanged. `Logs` is an array of strings. The body is never empty, because the host would wait forever.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

use crate::{
    function_app::RETURN_VALUE,
    record::Record,
    text::{escape_json, find_hidden, push_escape},
};

/// The body of a 2xx reply.
#[derive(Debug)]
pub struct Reply<'a> {
    outputs: Option<(&'a str, &'a [String])>,
    logs: &'a [Record],
}

impl<'a> Reply<'a> {
    /// Creates a reply with these messages for the queue binding of this name, and these records for the host's log.
    #[must_use]
    pub fn new(binding: &'a str, messages: &'a [String], logs: &'a [Record]) -> Self {
        Self { outputs: Some((binding, messages)), logs }
    }

    /// Creates a reply of a function without an output, with these records for the host's log.
    #[must_use]
    pub fn from_logs(logs: &'a [Record]) -> Self {
        Self { outputs: None, logs }
    }

    /// Returns the body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = self.write().expect("texts and records are always JSON");
        String::from_utf8(json).expect("JSON is text")
    }

    fn write(&self) -> serde_json::Result<Vec<u8>> {
        /// The estimated length of a record, in bytes.
        const RECORD_BYTES: usize = 1024;
        let (binding, messages) = self.outputs.unwrap_or_default();
        let is_returned = binding == RETURN_VALUE;
        // Messages are JSON, in which about every eighth character must be escaped.
        let message_bytes: usize = messages.iter().map(|message| message.len() + message.len() / 4).sum();
        let mut json = Vec::with_capacity(message_bytes + RECORD_BYTES * (self.logs.len() + 1));
        json.extend_from_slice(br#"{"Outputs":{"#);
        if self.outputs.is_some() && !is_returned {
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
        json.extend_from_slice(br#"],"ReturnValue":"#);
        serde_json::to_writer(&mut json, &is_returned.then_some(messages))?;
        json.push(b'}');
        Ok(json)
    }
}

/// Writes JSON inside a JSON string, with a backslash before each quote and backslash.
struct InString;

impl Formatter for InString {
    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(br#"\""#)
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(br#"\""#)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Consoles show the records of a reply, so hidden characters are escaped. They are rare, and the others are written at once.
        let mut rest = fragment;
        while let Some(at) = find_hidden(rest) {
            let (before, hidden) = rest.split_at(at);
            let mut characters = hidden.chars();
            let mut escape = String::new();
            characters.next().into_iter().for_each(|c| push_escape(&mut escape, c));
            writer.write_all(before.as_bytes())?;
            writer.write_all(escape.replace('\\', r"\\").as_bytes())?;
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        writer.write_all(br"\")?;
        // Each escape starts with a backslash. In these two the second character must be escaped as well.
        match escape {
            CharEscape::Quote => writer.write_all(br#"\\""#),
            CharEscape::ReverseSolidus => writer.write_all(br"\\\"),
            other => CompactFormatter.write_char_escape(writer, other),
        }
    }

    fn write_raw_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let string = serde_json::to_string(&escape_json(fragment))?;
        writer.write_all(&string.as_bytes()[1..string.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::Message,
        failure::{ErrorClass, Stage},
        record::{
            AttemptRecord, BatchRecord, DeadLetterQueueRecord, DeadLetterRecord, FailedAttemptRecord, SourceRecord,
            StartRecord,
        },
    };

    /// Returns one record of each kind, with all optional fields.
    fn records() -> [Record; 5] {
        let text = "a \"\\\n\u{1}\u{7f}\u{e4}\u{9b}b\u{1f681}\u{202e}\u{e0001}";
        let message = Message { session_id: text.into(), message_id: String::new(), delivery_count: 3 };
        let attempt = AttemptRecord {
            invocation_id: text.into(),
            source: SourceRecord { event_hub_name: text.into(), ..SourceRecord::default() },
            message: Some(message),
            first_sequence_number: Some(-7),
            decode_ms: 0.1,
            store_ms: f64::NAN,
            ..AttemptRecord::default()
        };
        [
            Record::Batch(BatchRecord { attempt: AttemptRecord::default(), applied: 1, ..BatchRecord::default() }),
            Record::FailedAttempt(FailedAttemptRecord { attempt, unresolved: 2, reason: text.into() }),
            Record::DeadLetter(DeadLetterRecord {
                dead_letter_id: text.into(),
                invocation_id: text.into(),
                source: SourceRecord::default(),
                message: None,
                partition_key: None,
                sequence_number: Some(i64::MAX),
                device_id: Some(text.into()),
                stage: Stage::Update,
                error_class: ErrorClass::Transient,
                issue: text.into(),
            }),
            Record::DeadLetterQueue(DeadLetterQueueRecord {
                queue_name: text.into(),
                messages: 2,
                oldest_age_ms: Some(3),
                expires_in_ms: None,
            }),
            Record::Start(StartRecord {
                version: text.into(),
                process_id: 7,
                port: 8,
                state_store: "memory".into(),
                telemetry: text.into(),
            }),
        ]
    }

    #[test]
    fn a_record_in_a_reply_is_the_same_line_as_in_the_log() {
        let records = records();
        let reply: serde_json::Value = serde_json::from_str(&Reply::from_logs(&records).to_json()).expect("JSON");
        assert_eq!(reply["Logs"], serde_json::json!(records.map(|record| record.to_line())));
    }

    #[test]
    fn raw_json_is_escaped_in_a_string() {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(r#"{"a": "\"\\"}"#).expect("JSON");
        let mut json = b"\"".to_vec();
        raw.serialize(&mut Serializer::with_formatter(&mut json, InString)).expect("JSON");
        json.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&json).expect("a string"), raw.get());
    }

    #[test]
    fn a_reply_is_valid_json_for_any_text() {
        let mut texts: Vec<_> = (0..0x250).filter_map(char::from_u32).map(|c| format!("a{c}{c}b")).collect();
        texts.extend([String::new(), r#"{"a":"\"\\"}"#.to_owned(), "\u{1f681}\u{2028}".to_owned()]);
        let record = |text: &String| {
            let start = StartRecord {
                version: text.clone(),
                process_id: 7,
                port: 8,
                state_store: "memory".to_owned(),
                telemetry: text.clone(),
            };
            Record::Start(start)
        };
        let records: Vec<_> = texts[1..].iter().map(record).collect();
        let lines: Vec<_> = records.iter().map(Record::to_line).collect();
        let reply = Reply::new("name \"of\" it\n", &texts, &records).to_json();
        let expected = serde_json::json!({
            "Outputs": { "name \"of\" it\n": texts }, "Logs": lines, "ReturnValue": null
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&reply).expect("JSON"), expected);
        let returned = Reply::new(RETURN_VALUE, &texts, &[]).to_json();
        let expected = serde_json::json!({ "Outputs": {}, "Logs": [], "ReturnValue": texts });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&returned).expect("JSON"), expected);
        assert_eq!(Reply::from_logs(&[]).to_json(), r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#);
    }
}
