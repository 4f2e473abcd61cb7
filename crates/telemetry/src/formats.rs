//! The formats other than JSON that a telemetry file describes: Avro and protobuf.

mod avro;
mod files;
mod protobuf;

use std::{collections::BTreeMap, path::Path};

use devicestate_engine::telemetry::Poison;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use avro::AvroSchemas;
use protobuf::ProtobufMessage;

/// The member `avro` of a telemetry file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvroFormat {
    /// Files of schemas, relative to the telemetry file. A `*` in the name of a file stands for any text.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// The files of schemas by the id that a schema registry gave them: a number, or 32 hexadecimal digits in Azure.
    #[serde(default)]
    pub ids: BTreeMap<String, String>,
}

/// The member `protobuf` of a telemetry file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtobufFormat {
    /// The file of a `FileDescriptorSet`, relative to the telemetry file: `protoc --include_imports --descriptor_set_out`.
    pub descriptors: String,
    /// The full name of the message that a body is, such as `fleet.v1.Telemetry`.
    pub message: String,
    /// If true, a field that cannot be told from its default on the wire is that default when it is absent: in proto3, `0` and
    /// `false` are not sent unless the field is `optional`. Such a field is absent if this is false.
    #[serde(default)]
    pub defaults: bool,
}

/// The formats of a telemetry file, with the files that it names.
#[derive(Debug, Clone, Default)]
pub struct Formats {
    avro: AvroSchemas,
    protobuf: Option<ProtobufMessage>,
}

/// Why a file of a format cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct FormatError {
    /// The place in the telemetry file, as a JSON Pointer such as `/avro/schemas/0`.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl FormatError {
    fn new(pointer: &str, message: String) -> Self {
        Self { pointer: pointer.to_owned(), message }
    }
}

/// What follows the id of a schema registry.
#[derive(Debug, PartialEq)]
pub(crate) enum Framed {
    /// The value of another format.
    Value(Value),
    /// JSON, which begins at this byte.
    Json(usize),
}

/// The serializers of a schema registry write a zero byte and the id in four bytes before a body.
const FRAME_BYTES: usize = 5;

impl Formats {
    /// Reads the files that a telemetry file names, which are relative to `directory`.
    ///
    /// # Errors
    ///
    /// Returns a [`FormatError`] if a file is missing or not valid.
    pub fn load(
        avro: Option<&AvroFormat>,
        protobuf: Option<&ProtobufFormat>,
        directory: &Path,
    ) -> Result<Self, FormatError> {
        Ok(Self {
            avro: avro.map(|format| AvroSchemas::load(format, directory)).transpose()?.unwrap_or_default(),
            protobuf: protobuf.map(|format| ProtobufMessage::load(format, directory)).transpose()?,
        })
    }

    /// Decodes the datums of an Avro file; `None` if the body is none. `left` is the number of bytes that may be unpacked.
    #[expect(clippy::unused_self, reason = "a file has its own schema, but it is a format like the others")]
    pub(crate) fn avro_file(&self, body: &[u8], left: &mut usize) -> Option<Result<Vec<Value>, Poison>> {
        avro::datums(body, left)
    }

    /// Decodes an Avro datum in single-object encoding; `None` if the body is none.
    pub(crate) fn avro_single_object(&self, body: &[u8]) -> Option<Result<Value, Poison>> {
        self.avro.single_object(body)
    }

    /// Decodes an Avro datum whose content type says that it is one, and perhaps the id of its schema.
    pub(crate) fn avro(&self, body: &[u8], id: Option<&str>) -> Result<Value, Poison> {
        if let Some(id) = id {
            return self.avro.datum_of_id(id, body);
        }
        match body {
            [0, ..] if self.has_schema_id(body) => self.avro.datum_of_id(&frame_id(body), &body[FRAME_BYTES..]),
            body => self.avro.single_object(body).unwrap_or_else(|| self.avro.datum_of_only_schema(body)),
        }
    }

    /// Returns true if a body begins with the id of a schema that the telemetry file has.
    pub(crate) fn has_schema_id(&self, body: &[u8]) -> bool {
        body.len() >= FRAME_BYTES && body[0] == 0 && self.avro.has_id(&frame_id(body))
    }

    /// Decodes a body that begins with the id of a schema registry.
    pub(crate) fn framed(&self, body: &[u8]) -> Result<Framed, Poison> {
        let id = frame_id(body);
        let framed = &body[FRAME_BYTES..];
        if self.avro.has_id(&id) {
            return self.avro.datum_of_id(&id, framed).map(Framed::Value);
        }
        match (&self.protobuf, framed) {
            (_, [b'{' | b'[', ..]) => Ok(Framed::Json(FRAME_BYTES)),
            (Some(message), framed) => message.decode_framed(framed).map(Framed::Value),
            (None, _) => Err(avro::unknown_id(&id)),
        }
    }

    pub(crate) fn has_protobuf(&self) -> bool {
        self.protobuf.is_some()
    }

    /// Decodes a protobuf message.
    pub(crate) fn protobuf(&self, body: &[u8]) -> Result<Value, Poison> {
        match &self.protobuf {
            Some(message) => message.decode(body),
            None => Err(Poison::Undecodable(
                "the content type says protobuf, which the telemetry file does not describe: add `protobuf` with `descriptors` \
                 and `message`"
                    .into(),
            )),
        }
    }
}

/// Returns the id in the first bytes of a body, in decimal digits.
fn frame_id(body: &[u8]) -> String {
    let id = body.get(1..FRAME_BYTES).and_then(|id| id.try_into().ok()).unwrap_or_default();
    u32::from_be_bytes(id).to_string()
}
