//! A reader of Avro object container files, as a stream, for the types that Capture files have:
//! <https://avro.apache.org/docs/1.12.0/specification/>.

use std::io::{BufRead, Read};

use devicestate_engine::text::error_message;
use flate2::read::DeflateDecoder;
use serde_json::Value;

/// The largest block, packed and unpacked.
const MAX_BLOCK_BYTES: usize = 256 << 20;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum {
    /// Null, a boolean, a number or a text.
    Json(Value),
    Bytes(Vec<u8>),
    Map(Vec<(String, Datum)>),
}

/// A container file.
pub(super) struct Container {
    reader: Box<dyn BufRead + Send>,
    pub(super) schema: Value,
    is_deflate: bool,
    /// Ends each block.
    marker: [u8; 16],
    block: Vec<u8>,
    /// The start of the next record in the block.
    position: usize,
    /// The records that are left in the block.
    left: u64,
}

impl Container {
    /// Reads the header, which begins with the magic number.
    pub(super) fn open(mut reader: Box<dyn BufRead + Send>) -> Result<Self, String> {
        let (mut schema, mut codec) = (Value::Null, b"null".to_vec());
        read_exactly(&mut reader, &mut [0; 4])?;
        loop {
            let count = read_long(&mut reader)?.ok_or("the header is incomplete")?;
            if count < 0 {
                // The size of the block, which is not needed.
                read_long(&mut reader)?;
            }
            if count == 0 {
                break;
            }
            for _ in 0..count.unsigned_abs() {
                let (name, value) = (read_bytes(&mut reader)?, read_bytes(&mut reader)?);
                match &name[..] {
                    b"avro.schema" => {
                        schema = serde_json::from_slice(&value).map_err(|error| format!("its schema: {error}"))?;
                    }
                    b"avro.codec" => codec = value,
                    _ => {}
                }
            }
        }
        let is_deflate = match &codec[..] {
            b"null" => false,
            b"deflate" => true,
            other => return Err(format!("its codec `{}` is not supported", String::from_utf8_lossy(other))),
        };
        let mut marker = [0; 16];
        read_exactly(&mut reader, &mut marker)?;
        Ok(Self { reader, schema, is_deflate, marker, block: Vec::new(), position: 0, left: 0 })
    }

    /// Reads the fields of the next record; `None` at the end.
    pub(super) fn next_record(&mut self) -> Result<Option<Vec<(String, Datum)>>, String> {
        while self.left == 0 {
            if self.position < self.block.len() {
                return Err("a block has more bytes than records".into());
            }
            if !self.read_block()? {
                return Ok(None);
            }
        }
        self.left -= 1;
        let mut bytes = &self.block[self.position..];
        let fields = self.schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fields = fields.iter().map(|field| {
            let name = field["name"].as_str().unwrap_or_default().to_owned();
            Ok((name, datum(&field["type"], &mut bytes)?))
        });
        let fields = fields.collect::<Result<_, String>>()?;
        self.position = self.block.len() - bytes.len();
        Ok(Some(fields))
    }

    /// Reads the next block. Returns false at the end of the file.
    fn read_block(&mut self) -> Result<bool, String> {
        let Some(count) = read_long(&mut self.reader)? else { return Ok(false) };
        self.left = u64::try_from(count).map_err(|_| "a block is invalid")?;
        let packed = read_bytes(&mut self.reader)?;
        let mut marker = [0; 16];
        read_exactly(&mut self.reader, &mut marker)?;
        if marker != self.marker {
            return Err("a block does not end with the marker of the file".into());
        }
        self.position = 0;
        self.block = if self.is_deflate { unpack(&packed)? } else { packed };
        // No captured event is empty.
        if self.left > self.block.len() as u64 {
            return Err("a block is too short for its records".into());
        }
        Ok(true)
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    let unpacked = DeflateDecoder::new(packed).take(MAX_BLOCK_BYTES as u64 + 1).read_to_end(&mut block);
    unpacked.map_err(|error| format!("a block cannot be unpacked: {}", error_message(&error)))?;
    if block.len() > MAX_BLOCK_BYTES {
        return Err(format!("a block is larger than {} MiB", MAX_BLOCK_BYTES >> 20));
    }
    Ok(block)
}

fn read_exactly(reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), String> {
    reader.read_exact(bytes).map_err(|error| error_message(&error))
}

/// Reads a number of variable length; `None` at the end of the file.
fn read_long(reader: &mut impl BufRead) -> Result<Option<i64>, String> {
    if reader.fill_buf().map_err(|error| error_message(&error))?.is_empty() {
        return Ok(None);
    }
    let next = || {
        let mut byte = [0];
        read_exactly(reader, &mut byte)?;
        Ok(byte[0])
    };
    long(next).map(Some)
}

/// Reads a length and as many bytes.
fn read_bytes(reader: &mut impl BufRead) -> Result<Vec<u8>, String> {
    let length = read_long(reader)?.ok_or("it is incomplete")?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BLOCK_BYTES);
    let length = length.ok_or_else(|| format!("a length is negative or larger than {} MiB", MAX_BLOCK_BYTES >> 20))?;
    let mut bytes = Vec::new();
    reader.take(length as u64).read_to_end(&mut bytes).map_err(|error| error_message(&error))?;
    if bytes.len() < length { Err("it is incomplete".into()) } else { Ok(bytes) }
}

/// Decodes a number of variable length, in zigzag form.
fn long(mut next: impl FnMut() -> Result<u8, String>) -> Result<i64, String> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    Err("a number is too long".into())
}

/// Decodes a value of this schema, and removes it from the bytes.
fn datum(schema: &Value, bytes: &mut &[u8]) -> Result<Datum, String> {
    let json = |value: Value| Ok(Datum::Json(value));
    match schema {
        Value::Array(branches) => {
            let index = usize::try_from(take_long(bytes)?).ok();
            let branch = index.and_then(|index| branches.get(index)).ok_or("a union has no such type")?;
            datum(branch, bytes)
        }
        Value::Object(members) if members.get("type").is_some_and(|kind| kind == "map") => {
            let mut entries = Vec::new();
            loop {
                let count = take_long(bytes)?;
                if count < 0 {
                    take_long(bytes)?;
                }
                if count == 0 {
                    return Ok(Datum::Map(entries));
                }
                for _ in 0..count.unsigned_abs() {
                    entries.push((take_text(bytes)?, datum(&schema["values"], bytes)?));
                }
            }
        }
        Value::Object(members) => datum(members.get("type").unwrap_or(&Value::Null), bytes),
        Value::String(name) => match name.as_str() {
            "null" => json(Value::Null),
            "boolean" => json((take(bytes, 1)?[0] != 0).into()),
            "int" | "long" => json(take_long(bytes)?.into()),
            "float" => json(f32::from_le_bytes(take_array(bytes)?).into()),
            "double" => json(f64::from_le_bytes(take_array(bytes)?).into()),
            "string" => json(take_text(bytes)?.into()),
            "bytes" => {
                let length = take_length(bytes)?;
                Ok(Datum::Bytes(take(bytes, length)?.to_vec()))
            }
            other => Err(format!("the type `{other}` is not supported")),
        },
        _ => Err("the schema is invalid".into()),
    }
}

fn take_long(bytes: &mut &[u8]) -> Result<i64, String> {
    long(|| Ok(take(bytes, 1)?[0]))
}

fn take_length(bytes: &mut &[u8]) -> Result<usize, String> {
    usize::try_from(take_long(bytes)?).map_err(|_| "a length is negative".into())
}

fn take_text(bytes: &mut &[u8]) -> Result<String, String> {
    let length = take_length(bytes)?;
    Ok(String::from_utf8_lossy(take(bytes, length)?).into_owned())
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    Ok(take(bytes, N)?.try_into().expect("N bytes"))
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], String> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or("a record is incomplete")?;
    *bytes = rest;
    Ok(taken)
}
