//! Avro: files with their own schema, and datums whose schema is in the package.
//!
//! It is decoded straight to JSON values, with the writer's schema: a telemetry file maps fields by their names, so a schema of
//! the reader has no use.

mod datum;
mod file;
mod logical;
mod schema;

use std::{collections::HashMap, path::Path};

use devicestate_engine::telemetry::Poison;
use serde_json::Value;

use super::{AvroFormat, FormatError, files};
use crate::unwrapping::Budget;
use datum::Reader;
pub(crate) use file::{Datums, avro_file};
use schema::{TypeId, Types};

/// The marker of single-object encoding, before the fingerprint of the schema.
const SINGLE_OBJECT: &[u8] = b"\xc3\x01";

/// The schemas that a telemetry file names.
#[derive(Debug, Clone, Default)]
pub(super) struct AvroSchemas {
    types: Types,
    roots: Vec<TypeId>,
    by_fingerprint: HashMap<u64, TypeId>,
    by_id: HashMap<String, TypeId>,
}

impl AvroSchemas {
    /// Reads the files of schemas.
    pub(super) fn load(format: &AvroFormat, directory: &Path) -> Result<Self, FormatError> {
        let mut schemas = Self::default();
        // A file may be named by a pattern and by an id.
        let mut roots: HashMap<String, TypeId> = HashMap::new();
        let mut add = |schemas: &mut Self, pointer: &str, file: &str| -> Result<TypeId, FormatError> {
            if let Some(root) = roots.get(file) {
                return Ok(*root);
            }
            let text = files::read(pointer, directory, file)?;
            let invalid = |error| FormatError::new(pointer, format!("the Avro schema {file}: {error}"));
            let root = schemas.types.add(file, &text).map_err(invalid)?;
            schemas.roots.push(root);
            roots.insert(file.to_owned(), root);
            Ok(root)
        };
        for (index, pattern) in format.schemas.iter().enumerate() {
            let pointer = format!("/avro/schemas/{index}");
            for file in files::matching(&pointer, directory, pattern)? {
                add(&mut schemas, &pointer, &file)?;
            }
        }
        for (id, file) in &format.ids {
            let pointer = format!("/avro/ids/{}", id.replace('~', "~0").replace('/', "~1"));
            let is_number = id.parse::<u32>().is_ok_and(|number| number.to_string() == *id);
            let is_hexadecimal = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_number && !is_hexadecimal {
                return Err(FormatError::new(
                    &pointer,
                    format!("{id:?} is not the id of a schema: it is a number, or 32 hexadecimal digits in Azure"),
                ));
            }
            let root = add(&mut schemas, &pointer, file)?;
            schemas.by_id.insert(id.to_ascii_lowercase(), root);
        }
        let pointer = if format.schemas.is_empty() { "/avro/ids" } else { "/avro/schemas" };
        let unresolved = |(file, error)| FormatError::new(pointer, format!("the Avro schema {file}: {error}"));
        schemas.types.resolve().map_err(unresolved)?;
        for root in &schemas.roots {
            schemas.by_fingerprint.insert(schemas.types.fingerprint(*root), *root);
        }
        Ok(schemas)
    }

    pub(super) fn has_ids(&self) -> bool {
        !self.by_id.is_empty()
    }

    pub(super) fn has_id(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Decodes a datum whose schema has an id.
    pub(super) fn datum_of_id(&self, id: &str, body: &[u8], budget: &mut Budget) -> Result<Value, Poison> {
        match self.by_id.get(&id.to_ascii_lowercase()) {
            Some(root) => self.datum(*root, body, budget),
            None => Err(unknown_id(id)),
        }
    }

    /// Decodes a datum of the only schema.
    pub(super) fn datum_of_only_schema(&self, body: &[u8], budget: &mut Budget) -> Result<Value, Poison> {
        match &*self.roots {
            [root] => self.datum(*root, body, budget),
            [] => Err(Poison::Undecodable(
                "the content type says Avro, but the telemetry file has no schema: add it to `avro`, `schemas`".into(),
            )),
            roots => Err(Poison::Undecodable(format!(
                "the content type says Avro, but not which of the {} schemas of the telemetry file: send Avro files, \
                 single-object encoding, or the content type `avro/binary+ID`",
                roots.len()
            ))),
        }
    }

    /// Decodes a datum in single-object encoding; `None` if the body is not one.
    pub(super) fn single_object(&self, body: &[u8], budget: &mut Budget) -> Option<Result<Value, Poison>> {
        let (fingerprint, datum) = body.strip_prefix(SINGLE_OBJECT)?.split_first_chunk()?;
        let fingerprint = u64::from_le_bytes(*fingerprint);
        Some(match self.by_fingerprint.get(&fingerprint) {
            Some(root) => self.datum(*root, datum, budget),
            None => Err(Poison::Undecodable(format!(
                "the body is an Avro datum of a schema that the telemetry file does not have: add the schema with the \
                 CRC-64-AVRO fingerprint {fingerprint:016x} to `avro`, `schemas`"
            ))),
        })
    }

    fn datum(&self, root: TypeId, body: &[u8], budget: &mut Budget) -> Result<Value, Poison> {
        let mut reader = Reader::new(body, &self.types, budget);
        let datum = reader.datum(root)?;
        reader.end()?;
        datum
    }
}

/// Returns the error for an id of a schema registry that the telemetry file does not have.
pub(super) fn unknown_id(id: &str) -> Poison {
    let id: String = id.chars().take(40).collect();
    Poison::Undecodable(format!(
        "the body has the schema id {id} of a schema registry, which the telemetry file does not have: add it to `avro`, `ids` \
         with the file of its schema"
    ))
}

/// Reads a number in Avro's variable-length zig-zag encoding; `None` if it has no end or more than 64 bits.
pub(super) fn read_long(body: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}
