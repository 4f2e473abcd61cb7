//! The formats other than JSON that a telemetry file describes: Avro and protobuf.

mod avro;
mod files;
mod frame;
mod protobuf;

use std::{collections::BTreeMap, path::Path};

use devicestate_engine::telemetry::Poison;
use serde_json::Value;

use crate::unwrapping::Budget;
use avro::AvroSchemas;
pub(crate) use avro::{Datums, avro_file};
use protobuf::ProtobufMessage;

/// The member `avro` of a telemetry file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AvroFormat {
    /// Files of schemas, relative to the telemetry file. A `*` in the name of a file stands for any text.
    pub schemas: Vec<String>,
    /// The files of schemas by the id that a schema registry gave them: a number, or 32 hexadecimal digits in Azure.
    pub ids: BTreeMap<String, String>,
}

/// The member `protobuf` of a telemetry file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtobufFormat {
    /// The file of a `FileDescriptorSet`, relative to the telemetry file: `protoc --include_imports --descriptor_set_out`.
    pub descriptors: String,
    /// The full name of the message that a body is, such as `fleet.v1.Telemetry`.
    pub message: String,
    /// If true, a field that on the wire does not differ from its default is that default when it is absent: in proto3, `0` and
    /// `false` are not sent unless the field is `optional`. Such a field is absent if this is false.
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

    /// Decodes an Avro datum in single-object encoding; `None` if the body is not one.
    pub(crate) fn avro_single_object(&self, body: &[u8], budget: &mut Budget) -> Option<Result<Value, Poison>> {
        self.avro.single_object(body, budget)
    }

    /// Decodes an Avro datum whose content type says that it is one, and perhaps the id of its schema.
    pub(crate) fn avro(&self, body: &[u8], id: Option<&str>, budget: &mut Budget) -> Result<Value, Poison> {
        if let Some(id) = id {
            return self.avro.datum_of_id(id, body, budget);
        }
        if let Some(datum) = self.avro.single_object(body, budget) {
            return datum;
        }
        match frame::schema_id(body) {
            Some((id, start)) if self.avro.has_ids() => self.avro.datum_of_id(&id, &body[start..], budget),
            _ => self.avro.datum_of_only_schema(body, budget),
        }
    }

    /// Returns true if a body begins with the id of a schema that the telemetry file has.
    pub(crate) fn has_schema_id(&self, body: &[u8]) -> bool {
        frame::schema_id(body).is_some_and(|(id, _)| self.avro.has_id(&id))
    }

    /// Decodes a body that begins with the id of a schema registry; `None` if it does not.
    pub(crate) fn framed(&self, body: &[u8], budget: &mut Budget) -> Option<Result<Framed, Poison>> {
        let (id, start) = frame::schema_id(body)?;
        let framed = &body[start..];
        if self.avro.has_id(&id) {
            return Some(self.avro.datum_of_id(&id, framed, budget).map(Framed::Value));
        }
        Some(match (&self.protobuf, framed) {
            (_, [b'{' | b'[', ..]) => Ok(Framed::Json(start)),
            (Some(message), framed) => message.decode_framed(framed, budget).map(Framed::Value),
            (None, _) => Err(avro::unknown_id(&id)),
        })
    }

    pub(crate) fn has_protobuf(&self) -> bool {
        self.protobuf.is_some()
    }

    /// Decodes a protobuf message. A zero byte cannot begin one, but the id of a schema registry.
    pub(crate) fn protobuf(&self, body: &[u8], budget: &mut Budget) -> Result<Value, Poison> {
        let Some(message) = &self.protobuf else {
            return Err(Poison::Undecodable(
                "the content type says protobuf, which the telemetry file does not describe: add `protobuf` with `descriptors` \
                 and `message`"
                    .into(),
            ));
        };
        match frame::schema_id(body) {
            Some((_, start)) => message.decode_framed(&body[start..], budget),
            None => message.decode(body, budget),
        }
    }
}
