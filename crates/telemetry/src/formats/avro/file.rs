//! Avro's object container files, which contain their schema.

use std::{borrow::Cow, collections::HashMap};

use devicestate_engine::telemetry::Poison;
use serde_json::Value;

use super::{datum::Reader, read_long, schema::Types};
use crate::unwrapping::{Budget, unpack_deflate, unpack_zstd};

const MAGIC: &[u8] = b"Obj\x01";

/// How the blocks of a file are packed.
#[derive(Debug, Clone, Copy)]
enum Codec {
    Null,
    Deflate,
    Zstandard,
}

/// The datums of a file. One that is not valid does not invalidate the others.
pub(crate) type Datums = Vec<Result<Value, Poison>>;

/// Decodes the datums of a file; `None` if the body is not one.
pub(crate) fn avro_file(body: &[u8], budget: &mut Budget) -> Option<Result<Datums, Poison>> {
    let body = body.strip_prefix(MAGIC)?;
    Some(decode(body, budget))
}

fn damaged(what: impl std::fmt::Display) -> Poison {
    Poison::Undecodable(format!("the Avro file is damaged: {what}"))
}

fn decode(body: &[u8], budget: &mut Budget) -> Result<Datums, Poison> {
    let mut rest = body;
    let header = read_header(&mut rest).ok_or_else(|| damaged("its header ends in the middle"))?;
    let codec = match header.get(&b"avro.codec"[..]).map_or(&b"null"[..], |codec| codec) {
        b"null" => Codec::Null,
        b"deflate" => Codec::Deflate,
        b"zstandard" => Codec::Zstandard,
        other => {
            let name: String = String::from_utf8_lossy(other).chars().take(40).collect();
            return Err(Poison::Undecodable(format!(
                "the Avro file has the codec {name:?}, which is not supported: write it with null, deflate or zstandard"
            )));
        }
    };
    let schema = header.get(&b"avro.schema"[..]).ok_or_else(|| damaged("it has no schema"))?;
    let mut types = Types::default();
    let invalid = |error: &dyn std::fmt::Display| damaged(format_args!("its schema: {error}"));
    let root = types.add("", schema).map_err(|error| invalid(&error))?;
    types.resolve().map_err(|(_, error)| invalid(&error))?;
    let marker = take(&mut rest, 16).ok_or_else(|| damaged("its header ends in the middle"))?;
    let mut datums = Vec::new();
    while !rest.is_empty() {
        let number = |rest: &mut &[u8]| read_long(rest).and_then(|number| usize::try_from(number).ok());
        let cut = || damaged("a block ends in the middle");
        let count = number(&mut rest).ok_or_else(cut)?;
        let bytes = number(&mut rest).ok_or_else(cut)?;
        let block = take(&mut rest, bytes).ok_or_else(cut)?;
        if take(&mut rest, 16).ok_or_else(cut)? != marker {
            return Err(damaged("a block does not end with the marker of the file"));
        }
        budget.take_records(count)?;
        let block = match codec {
            Codec::Null => Cow::Borrowed(block),
            Codec::Deflate => Cow::Owned(unpack_deflate(block, budget)?),
            Codec::Zstandard => Cow::Owned(unpack_zstd(block, budget)?),
        };
        let mut reader = Reader::new(&block, &types, budget);
        for _ in 0..count {
            datums.push(reader.datum(root)?);
        }
        reader.end()?;
    }
    Ok(datums)
}

/// Reads the metadata of a file, a map of bytes.
fn read_header<'b>(rest: &mut &'b [u8]) -> Option<HashMap<&'b [u8], &'b [u8]>> {
    let mut header = HashMap::new();
    loop {
        let count = read_long(rest)?;
        if count == 0 {
            return Some(header);
        }
        if count < 0 {
            read_long(rest)?;
        }
        for _ in 0..count.unsigned_abs() {
            let mut sized = || {
                let length = usize::try_from(read_long(rest)?).ok()?;
                take(rest, length)
            };
            header.insert(sized()?, sized()?);
        }
    }
}

fn take<'b>(rest: &mut &'b [u8], bytes: usize) -> Option<&'b [u8]> {
    let (taken, after) = rest.split_at_checked(bytes)?;
    *rest = after;
    Some(taken)
}
