//! Decodes Avro's binary encoding to JSON values.
//!
//! Unions become the value of their branch, bytes and fixed types become base64, enums their symbols, times RFC 3339.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_engine::telemetry::Poison;
use serde_json::{Map, Number, Value};

use super::{
    logical::Logical,
    schema::{Shape, TypeId, Types},
};
use crate::{mapping::shortened, unwrapping::Budget};

/// Values may be nested this deeply.
const MAX_DEPTH: usize = 128;

/// Reads datums, one after the other.
pub(super) struct Reader<'b, 't, 'l> {
    body: &'b [u8],
    types: &'t Types,
    budget: &'l mut Budget,
    /// The first value of the datum that is not valid. What follows it can be read.
    invalid: Option<Fault>,
}

/// What is wrong with a datum, and in which field.
struct Fault {
    field: String,
    poison: Poison,
}

type Result<T> = std::result::Result<T, Fault>;

fn damaged<T>(message: impl Into<String>) -> Result<T> {
    Err(Fault { field: String::new(), poison: Poison::Undecodable(message.into()) })
}

impl Fault {
    fn within(mut self, name: &str) -> Self {
        self.field = if self.field.is_empty() { name.to_owned() } else { format!("{name}.{}", self.field) };
        self
    }

    fn into_poison(self) -> Poison {
        let Self { field, poison } = self;
        let field = shortened(&field);
        let place = if field.is_empty() { String::new() } else { format!(", in the field {field}") };
        match poison {
            Poison::Undecodable(message) => Poison::Undecodable(format!("the Avro datum is damaged: {message}{place}")),
            Poison::Invalid(message) => Poison::Invalid(format!("{message}{place}")),
        }
    }
}

impl<'b, 't, 'l> Reader<'b, 't, 'l> {
    pub(super) fn new(body: &'b [u8], types: &'t Types, budget: &'l mut Budget) -> Self {
        Self { body, types, budget, invalid: None }
    }

    /// Reads a datum. The outer error says that what follows it cannot be read, the inner one that only this datum is not valid.
    pub(super) fn datum(&mut self, root: TypeId) -> std::result::Result<std::result::Result<Value, Poison>, Poison> {
        let datum = self.value(root, 0).map_err(Fault::into_poison)?;
        Ok(self.invalid.take().map_or(Ok(datum), |fault| Err(fault.into_poison())))
    }

    /// Returns an error if there are bytes left.
    pub(super) fn end(&self) -> std::result::Result<(), Poison> {
        match self.body.len() {
            0 => Ok(()),
            left => Err(Poison::Undecodable(format!(
                "the Avro datum is damaged: {left} bytes follow it. Was it written with another schema?"
            ))),
        }
    }

    fn value(&mut self, id: TypeId, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return damaged(format!("it is nested more than {MAX_DEPTH} times"));
        }
        let types = self.types;
        let kind = types.get(id);
        if let Shape::Named(id) = kind.shape {
            return self.value(id, depth + 1);
        }
        if self.budget.take_value().is_none() {
            return damaged("it has more values than a body of its size can have");
        }
        Ok(match &kind.shape {
            Shape::Null => Value::Null,
            Shape::Boolean => match self.take(1)? {
                [0] => false.into(),
                [1] => true.into(),
                other => return damaged(format!("a boolean is 0 or 1, not {}", other[0])),
            },
            Shape::Int | Shape::Long => self.number(&kind.shape, kind.logical)?,
            Shape::Float => {
                let number = f32::from_le_bytes(self.array()?);
                // The shortest decimal of a float, such as 0.1, instead of that of the double with the same bits.
                self.or_null(finite(number.to_string().parse().unwrap_or(f64::NAN)))
            }
            Shape::Double => {
                let number = f64::from_le_bytes(self.array()?);
                self.or_null(finite(number))
            }
            Shape::Bytes => {
                let bytes = self.sized()?;
                self.or_null(to_value(bytes, kind.logical))
            }
            Shape::Fixed { size, .. } => {
                let bytes = self.take(*size)?;
                self.or_null(to_value(bytes, kind.logical))
            }
            Shape::String => self.text()?.into(),
            Shape::Enum { symbols, .. } => {
                let index = self.long()?;
                match usize::try_from(index).ok().and_then(|index| symbols.get(index)) {
                    Some(symbol) => symbol.as_str().into(),
                    None => return damaged(format!("an enum has {} symbols, and not number {index}", symbols.len())),
                }
            }
            Shape::Union(branches) => {
                let index = self.long()?;
                match usize::try_from(index).ok().and_then(|index| branches.get(index)) {
                    Some(branch) => self.value(*branch, depth + 1)?,
                    None => return damaged(format!("a union has {} branches, and not number {index}", branches.len())),
                }
            }
            Shape::Record { fields, .. } => {
                let mut object = Map::new();
                for (name, id) in fields {
                    object.insert(name.clone(), self.member(name, *id, depth + 1)?);
                }
                object.into()
            }
            Shape::Array(items) => {
                let mut elements = Vec::new();
                self.blocks(|reader| {
                    elements.push(reader.value(*items, depth + 1)?);
                    Ok(())
                })?;
                elements.into()
            }
            Shape::Map(values) => {
                let mut object = Map::new();
                self.blocks(|reader| {
                    let key = reader.text()?.to_owned();
                    let value = reader.member(&key, *values, depth + 1)?;
                    match object.insert(key, value) {
                        None => Ok(()),
                        Some(_) => damaged("a map has a key twice"),
                    }
                })?;
                object.into()
            }
            Shape::Named(_) => unreachable!("a name is followed above"),
        })
    }

    /// Reads a value that has a name, which is added to the place of what is wrong in it.
    fn member(&mut self, name: &str, id: TypeId, depth: usize) -> Result<Value> {
        let was_valid = self.invalid.is_none();
        let value = self.value(id, depth).map_err(|fault| fault.within(name))?;
        if was_valid {
            self.invalid = self.invalid.take().map(|fault| fault.within(name));
        }
        Ok(value)
    }

    /// Returns the value, or null for one that makes the datum invalid.
    fn or_null(&mut self, value: std::result::Result<Value, String>) -> Value {
        value.unwrap_or_else(|issue| {
            self.invalid.get_or_insert(Fault { field: String::new(), poison: Poison::Invalid(issue) });
            Value::Null
        })
    }

    fn number(&mut self, shape: &Shape, logical: Option<Logical>) -> Result<Value> {
        let number = self.long()?;
        if matches!(shape, Shape::Int) && i32::try_from(number).is_err() {
            return damaged(format!("{number} is not a 32-bit number"));
        }
        let Some(logical) = logical else { return Ok(number.into()) };
        let time = logical.time(number).map(Value::from);
        Ok(self.or_null(time.ok_or_else(|| format!("{number} is out of the range of times"))))
    }

    fn blocks(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The block's size in bytes follows.
                self.long()?;
                count = count.saturating_neg();
            }
            for _ in 0..count {
                element(self)?;
            }
        }
    }

    fn text(&mut self) -> Result<&'b str> {
        str::from_utf8(self.sized()?).or_else(|_| damaged("a text is not valid UTF-8"))
    }

    /// Reads bytes that follow their number.
    fn sized(&mut self) -> Result<&'b [u8]> {
        let length = self.long()?;
        let length = usize::try_from(length).or_else(|_| damaged(format!("the length {length} is not possible")))?;
        self.take(length)
    }

    fn take(&mut self, bytes: usize) -> Result<&'b [u8]> {
        let Some((taken, rest)) = self.body.split_at_checked(bytes) else { return damaged("it ends in the middle") };
        self.body = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().unwrap_or([0; N]))
    }

    fn long(&mut self) -> Result<i64> {
        match super::read_long(&mut self.body) {
            Some(number) => Ok(number),
            None => damaged("a number has no end"),
        }
    }
}

fn to_value(bytes: &[u8], logical: Option<Logical>) -> std::result::Result<Value, String> {
    match logical {
        None => Ok(STANDARD.encode(bytes).into()),
        Some(logical) => logical.bytes(bytes).ok_or_else(|| format!("a decimal of {} bytes is too large", bytes.len())),
    }
}

fn finite(number: f64) -> std::result::Result<Value, String> {
    let invalid = || format!("a number is {number}, which JSON cannot represent");
    Number::from_f64(number).map(Value::Number).ok_or_else(invalid)
}
