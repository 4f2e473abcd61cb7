//! Protobuf messages by a descriptor set, converted to JSON.
//!
//! Fields have the names of the `.proto` file. Enums are their names, or numbers that have none. A field that is not set is
//! absent.

mod well_known;

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_engine::telemetry::Poison;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::{Map, Number, Value as Json};

use super::{FormatError, ProtobufFormat, avro::read_long, files};
use crate::unwrapping::Budget;

/// The largest message that is decoded: a repeated field of small numbers needs some fifty times its size in memory.
const MAX_BYTES: usize = 1024 * 1024;

/// A message may be nested in this many others, as prost decodes them.
const MAX_DEPTH: usize = 100;

/// The message that a telemetry file names.
#[derive(Debug, Clone)]
pub(super) struct ProtobufMessage {
    message: MessageDescriptor,
    has_defaults: bool,
}

impl ProtobufMessage {
    /// Reads the file of descriptors.
    pub(super) fn load(format: &ProtobufFormat, directory: &Path) -> Result<Self, FormatError> {
        let ProtobufFormat { descriptors, message, defaults } = format;
        let set = files::read("/protobuf/descriptors", directory, descriptors)?;
        let pool = DescriptorPool::decode(&*set).map_err(|error| {
            FormatError::new(
                "/protobuf/descriptors",
                format!(
                    "the file {descriptors} is not a complete set of descriptors: {error}. Write it with \
                     `protoc --include_imports --descriptor_set_out={descriptors}`"
                ),
            )
        })?;
        let found = pool.get_message_by_name(message).ok_or_else(|| {
            let mut names: Vec<_> = pool.all_messages().map(|message| message.full_name().to_owned()).collect();
            names.sort_unstable();
            let more = names.len().saturating_sub(10);
            names.truncate(10);
            let names = names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() };
            FormatError::new(
                "/protobuf/message",
                format!("the file {descriptors} has no message `{message}`; it has {names}"),
            )
        })?;
        Ok(Self { message: found, has_defaults: *defaults })
    }

    /// Decodes a body.
    pub(super) fn decode(&self, body: &[u8], budget: &mut Budget) -> Result<Json, Poison> {
        self.decode_message(self.message.clone(), body, budget)
    }

    /// Decodes what follows the id of a schema registry: the indexes of the message in its file, from the outermost, and the
    /// message. No index means the first message.
    pub(super) fn decode_framed(&self, mut body: &[u8], budget: &mut Budget) -> Result<Json, Poison> {
        let file = self.message.parent_file();
        let message = message_indexes(&mut body).and_then(|indexes| {
            let (first, nested) = indexes.split_first()?;
            let first = file.messages().nth(*first);
            nested.iter().fold(first, |message, index| message?.child_messages().nth(*index))
        });
        let message = message.ok_or_else(|| {
            let file = file.name();
            Poison::Undecodable(format!("the message indexes before the protobuf message name none of the file {file}"))
        })?;
        self.decode_message(message, body, budget)
    }

    fn decode_message(&self, message: MessageDescriptor, body: &[u8], budget: &mut Budget) -> Result<Json, Poison> {
        let name = message.full_name().to_owned();
        if body.len() > MAX_BYTES {
            let bytes = body.len();
            return Err(Poison::Invalid(format!(
                "the protobuf message {name} has {bytes} bytes: at most {MAX_BYTES} are decoded"
            )));
        }
        let message = DynamicMessage::decode(message, body)
            .map_err(|error| Poison::Undecodable(format!("the body is not the protobuf message {name}: {error}")))?;
        let mut conversion = Conversion { has_defaults: self.has_defaults, budget };
        conversion
            .message(&message)
            .map_err(|problem| Poison::Invalid(format!("the protobuf message {name}: {problem}")))
    }
}

/// Reads the indexes of a message in its file; `None` if they are damaged.
fn message_indexes(body: &mut &[u8]) -> Option<Vec<usize>> {
    let mut number = || read_long(body).and_then(|number| usize::try_from(number).ok());
    match number()? {
        0 => Some(vec![0]),
        count if count > MAX_DEPTH => None,
        count => (0..count).map(|_| number()).collect(),
    }
}

/// Converts messages to JSON.
struct Conversion<'l> {
    has_defaults: bool,
    /// A few bytes can be many fields with defaults.
    budget: &'l mut Budget,
}

impl Conversion<'_> {
    fn message(&mut self, message: &DynamicMessage) -> Result<Json, String> {
        let descriptor = message.descriptor();
        if let Some(value) = well_known::to_json(self, &descriptor, message) {
            return value;
        }
        let mut object = Map::new();
        for field in descriptor.fields() {
            let has_default = || self.has_defaults && !field.supports_presence() && !field.is_list() && !field.is_map();
            if message.has_field(&field) || has_default() {
                let value = self.field(&field, &message.get_field(&field));
                let value = value.map_err(|problem| format!("{}: {problem}", field.name()))?;
                object.insert(field.name().to_owned(), value);
            }
        }
        Ok(object.into())
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value) -> Result<Json, String> {
        match value {
            Value::List(elements) => elements.iter().map(|element| self.value(&field.kind(), element)).collect(),
            Value::Map(entries) => {
                let Kind::Message(entry) = field.kind() else { return Err("it is not a map".into()) };
                let kind = entry.map_entry_value_field().kind();
                // In their order, so that of several problems the same is reported each time.
                let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key_text(key), value)).collect();
                entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                let entries = entries.into_iter().map(|(key, value)| Ok((key, self.value(&kind, value)?)));
                Ok(Json::Object(entries.collect::<Result<_, String>>()?))
            }
            value => self.value(&field.kind(), value),
        }
    }

    fn value(&mut self, kind: &Kind, value: &Value) -> Result<Json, String> {
        self.budget.take_value().ok_or("it has more values than a body of its size can have")?;
        Ok(match value {
            Value::Bool(value) => (*value).into(),
            Value::I32(number) => (*number).into(),
            Value::I64(number) => (*number).into(),
            Value::U32(number) => (*number).into(),
            Value::U64(number) => (*number).into(),
            // The shortest decimal of a float, such as 0.1, instead of that of the double with the same bits.
            Value::F32(number) => finite(number.to_string().parse().unwrap_or(f64::NAN))?,
            Value::F64(number) => finite(*number)?,
            Value::String(text) => text.as_str().into(),
            Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Value::EnumNumber(number) => {
                let known = kind.as_enum().and_then(|kind| kind.get_value(*number));
                known.map_or_else(|| (*number).into(), |known| known.name().into())
            }
            Value::Message(message) => self.message(message)?,
            Value::List(_) | Value::Map(_) => return Err("a list contains a list".into()),
        })
    }
}

fn finite(number: f64) -> Result<Json, String> {
    let problem = || format!("{number} is a number that JSON cannot represent");
    Number::from_f64(number).map(Json::Number).ok_or_else(problem)
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
