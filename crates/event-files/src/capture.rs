//! Avro files of Event Hubs Capture.

mod avro;

use std::io::BufRead;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::civil::DateTime;
use serde_json::{Map, Value};

use crate::event::FileEvent;
use avro::{Container, Datum};

/// The fields of a captured event: <https://learn.microsoft.com/azure/event-hubs/explore-captured-avro-files>.
const FIELDS: [&str; 6] = ["SequenceNumber", "Offset", "EnqueuedTimeUtc", "SystemProperties", "Properties", "Body"];

/// A Capture file.
pub(crate) struct Capture {
    records: Container,
    read: u64,
}

impl Capture {
    pub(crate) fn new(reader: Box<dyn BufRead + Send>) -> Result<Self, String> {
        let records = Container::open(reader).map_err(|reason| format!("it is a damaged Avro file: {reason}"))?;
        check_schema(&records.schema)?;
        Ok(Self { records, read: 0 })
    }

    pub(crate) fn next_event(&mut self) -> Result<Option<FileEvent>, String> {
        let event = self.records.next_record().map_err(|reason| format!("after event {}: {reason}", self.read))?;
        self.read += u64::from(event.is_some());
        Ok(event.map(to_event))
    }
}

/// Checks that the records are captured events.
fn check_schema(schema: &Value) -> Result<(), String> {
    let fields = schema.get("fields").and_then(Value::as_array);
    let names: Vec<_> = fields.into_iter().flatten().filter_map(|field| field["name"].as_str()).collect();
    if FIELDS.iter().all(|name| names.contains(name)) {
        return Ok(());
    }
    let contents = match schema["name"].as_str() {
        Some(name) => {
            let names: Vec<_> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
            format!("it contains records `{name}` with {}", names.join(", "))
        }
        None => "it contains no records".into(),
    };
    Err(format!(
        "it is an Avro file, but not of Event Hubs Capture: {contents}; convert it to one JSON event per line, for example with \
         `avro-tools tojson`"
    ))
}

fn to_event(fields: Vec<(String, Datum)>) -> FileEvent {
    let mut event = FileEvent::default();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("SequenceNumber", Datum::Json(number)) => event.sequence_number = number.as_i64(),
            ("EnqueuedTimeUtc", Datum::Json(Value::String(time))) => event.enqueued_time = Some(host_time(&time)),
            ("SystemProperties", Datum::Map(values)) => event.system_properties = to_json(values),
            ("Properties", Datum::Map(values)) => event.properties = to_json(values),
            ("Body", Datum::Bytes(body)) => event.body = body,
            ("Body", Datum::Json(Value::String(body))) => event.body = body.into_bytes(),
            _ => {}
        }
    }
    let key = event.system_properties.get("x-opt-partition-key").and_then(Value::as_str);
    event.partition_key = key.map(str::to_owned);
    event
}

/// Returns properties as the host writes them: bytes are base64.
fn to_json(values: Vec<(String, Datum)>) -> Map<String, Value> {
    let value = |datum| match datum {
        Datum::Json(value) => value,
        Datum::Bytes(bytes) => BASE64.encode(bytes).into(),
        Datum::Map(values) => Value::Object(to_json(values)),
    };
    values.into_iter().map(|(name, datum)| (name, value(datum))).collect()
}

/// Returns a time of Capture, such as `5/1/2026 12:00:00 PM`, as the host writes it. Another text is returned unchanged.
fn host_time(time: &str) -> String {
    DateTime::strptime("%m/%d/%Y %I:%M:%S %p", time).map_or_else(|_| time.to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use flate2::{Compression, write::DeflateEncoder};
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"EventData","fields":[{"name":"SequenceNumber","type":"long"},
        {"name":"Offset","type":"string"},{"name":"EnqueuedTimeUtc","type":"string"},
        {"name":"SystemProperties","type":{"type":"map","values":["long","double","string","bytes"]}},
        {"name":"Properties","type":{"type":"map","values":["long","double","string","bytes","null"]}},
        {"name":"Body","type":["null","bytes"]}]}"#;

    /// Adds a length and bytes.
    fn push(output: &mut Vec<u8>, bytes: &[u8]) {
        push_long(output, i64::try_from(bytes.len()).expect("a small number"));
        output.extend_from_slice(bytes);
    }

    fn push_long(output: &mut Vec<u8>, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest > 0x7f {
            output.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        output.push(rest.to_le_bytes()[0]);
    }

    fn file(codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
        let mut file = b"Obj\x01\x04".to_vec();
        for (name, value) in [("avro.codec", codec), ("avro.schema", SCHEMA)] {
            push(&mut file, name.as_bytes());
            push(&mut file, value.as_bytes());
        }
        file.extend(b"\x000123456789abcdef");
        for (count, block) in blocks {
            push_long(&mut file, *count);
            push(&mut file, block);
            file.extend(b"0123456789abcdef");
        }
        file
    }

    fn event(number: i64, body: &[u8]) -> Vec<u8> {
        let mut event = Vec::new();
        push_long(&mut event, number);
        push(&mut event, b"4096");
        push(&mut event, b"5/1/2026 1:02:03 PM");
        push_long(&mut event, 1);
        push(&mut event, b"x-opt-partition-key");
        push_long(&mut event, 2);
        push(&mut event, b"pump-1");
        push_long(&mut event, 0);
        // A block of a map with its size.
        push_long(&mut event, -4);
        push_long(&mut event, 99);
        push(&mut event, b"a");
        push_long(&mut event, 0);
        push_long(&mut event, -7);
        push(&mut event, b"b");
        push_long(&mut event, 1);
        event.extend(1.5_f64.to_le_bytes());
        push(&mut event, b"c");
        push_long(&mut event, 3);
        push(&mut event, b"\x00\xff");
        push(&mut event, b"d");
        push_long(&mut event, 4);
        push_long(&mut event, 0);
        push_long(&mut event, 1);
        push(&mut event, body);
        event
    }

    fn read(file: Vec<u8>) -> (Vec<FileEvent>, Option<String>) {
        let mut capture = match Capture::new(Box::new(Cursor::new(file))) {
            Ok(capture) => capture,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let mut events = Vec::new();
        loop {
            match capture.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, None),
                Err(error) => return (events, Some(error)),
            }
        }
    }

    #[test]
    fn events_have_their_metadata_in_each_codec() {
        let block = [event(7, b"{}"), event(8, b"")].concat();
        let deflate = |block: &[u8]| {
            let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
            deflate.write_all(block).expect("written");
            deflate.finish().expect("written")
        };
        for (codec, block, empty) in [("null", block.clone(), Vec::new()), ("deflate", deflate(&block), deflate(b""))] {
            let (events, error) = read(file(codec, &[(2, block.clone()), (0, empty), (2, block)]));
            assert_eq!((events.len(), error), (4, None), "{codec}");
            let first = &events[0];
            assert_eq!((first.sequence_number, &first.body[..]), (Some(7), &b"{}"[..]));
            assert_eq!(first.enqueued_time.as_deref(), Some("2026-05-01T13:02:03"));
            assert_eq!(first.partition_key.as_deref(), Some("pump-1"));
            assert_eq!(Value::from(first.properties.clone()), json!({ "a": -7, "b": 1.5, "c": "AP8=", "d": null }));
            let position = first.to_event().position.expect("a position");
            assert_eq!((position.sequence_number, position.enqueued_ms), (7, 1_777_640_523_000));
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_wherever_it_ends() {
        let complete = file("null", &[(1, event(7, b"{}")), (1, event(8, b"{}"))]);
        let header = file("null", &[]).len();
        let first = file("null", &[(1, event(7, b"{}"))]).len();
        for length in 4..complete.len() {
            let (events, error) = read(complete[..length].to_vec());
            let is_whole = [header, first].contains(&length);
            assert_eq!((events.len(), error.is_some()), (usize::from(length >= first), !is_whole), "{length}");
        }
        for (file, expected) in [
            (file("snappy", &[]), "`snappy`"),
            (file("null", &[(2, event(7, b""))]), "after event 1: a record is incomplete"),
            (
                file("null", &[(1, [event(7, b""), vec![0]].concat())]),
                "after event 1: a block has more bytes than records",
            ),
            (file("null", &[(-1, Vec::new())]), "a block is invalid"),
            (file("deflate", &[(1, vec![0xff; 9])]), "a block cannot be unpacked"),
        ] {
            let (_, error) = read(file);
            assert!(error.as_ref().is_some_and(|error| error.contains(expected)), "{expected}: {error:?}");
        }
    }
}
