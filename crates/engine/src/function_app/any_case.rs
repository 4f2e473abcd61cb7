//! Reads JSON values as the Functions host does: names of members and values of enumerations in any letter case, and a number or
//! a boolean as a text, and an integer as `100.0`, too.

use serde::{
    Deserialize, Deserializer,
    de::{
        IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Map, Value};

/// Reads a value. A member that is null counts as absent.
pub(super) fn from_value<T: for<'de> Deserialize<'de>>(value: Value) -> serde_json::Result<T> {
    T::deserialize(AnyCase(value))
}

/// Returns the member of this name in any letter case; the exact name has precedence.
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let any_case = || object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    object.get(name).or_else(any_case)
}

/// Returns the member of this name in any letter case, if it is an object; otherwise an empty object.
pub(super) fn member_object(object: &Map<String, Value>, name: &str) -> Map<String, Value> {
    member(object, name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Returns a text as it is, and any other value as JSON.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct AnyCase(Value);

impl AnyCase {
    /// Returns the value that a text stands for. Any other value, and a text that stands for no value, is returned as it is.
    fn parsed<T>(self, parse: impl FnOnce(&str) -> Option<T>) -> Value
    where
        Value: From<T>,
    {
        match self.0.as_str().and_then(|text| parse(text.trim())) {
            Some(parsed) => parsed.into(),
            None => self.0,
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.as_f64().filter(|_| self.0.is_f64()).and_then(whole) {
                Some(integer) => visitor.visit_i64(integer),
                None => self.parsed(|text| text.parse::<i64>().ok()).deserialize_any(visitor),
            }
        }
    )*};
}

/// Returns a number without a fraction as an integer.
#[expect(clippy::cast_possible_truncation, reason = "a number without a fraction, and in the range, is not truncated")]
fn whole(number: f64) -> Option<i64> {
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= MAX_EXACT).then_some(number as i64)
}

impl<'de> Deserializer<'de> for AnyCase {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(elements) => visitor.visit_seq(SeqDeserializer::new(elements.into_iter().map(AnyCase))),
            Value::Object(members) => {
                visitor.visit_map(MapDeserializer::new(members.into_iter().map(|(name, value)| (name, AnyCase(value)))))
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Object(members) = self.0 else { return self.deserialize_any(visitor) };
        let present = fields.iter().filter_map(|field| {
            let value = member(&members, field).filter(|value| !value.is_null())?;
            Some((*field, AnyCase(value.clone())))
        });
        visitor.visit_map(MapDeserializer::new(present))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = |text: &str| variants.iter().find(|variant| variant.eq_ignore_ascii_case(text)).copied();
        self.parsed(variant).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.parsed(|text| text.to_ascii_lowercase().parse::<bool>().ok()).deserialize_any(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Number(number) => visitor.visit_string(number.to_string()),
            Value::Bool(boolean) => visitor.visit_string(boolean.to_string()),
            other => other.deserialize_any(visitor),
        }
    }

    integers! { deserialize_i64 deserialize_u64 }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for AnyCase {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
