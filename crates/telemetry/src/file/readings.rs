//! Reads the rules for readings.

use devicestate_engine::device_state::is_reading_name;
use serde_json::Number;

use super::{
    checker::{Checked, Checker, shortened},
    tree::{Content, Member, Node},
};
use crate::mapping::{
    Conversion, Elements, MAX_NAME_BYTES, NamePattern, NamedValues, Pointer, Range, ReadingRule, ReadingValue, Sources,
    TimeFormat, Wildcard, is_equal, is_same_name,
};

/// The most names of `values`, `include` or `exclude`: a value is compared with each.
const MAX_NAMES: usize = 1_000;

/// The names of the types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Any,
    Number,
    Integer,
    String,
    Boolean,
    Time,
}

const TYPES: [(&str, Type); 6] = [
    ("any", Type::Any),
    ("number", Type::Number),
    ("integer", Type::Integer),
    ("string", Type::String),
    ("boolean", Type::Boolean),
    ("time", Type::Time),
];

const READING: [&str; 9] = ["from", "type", "required", "range", "values", "scale", "offset", "format", "value"];

/// The rules of `readings`.
pub(super) type Readings = (Vec<ReadingRule>, Option<Wildcard>);

impl Checker {
    pub(super) fn readings(&mut self, node: &Node) -> Checked<Readings> {
        let members = self.members(node, "an object of readings by their names")?;
        let (mut rules, mut wildcard) = (Vec::new(), None);
        for Member { name, start, value } in members {
            if name == "*" {
                wildcard = self.wildcard(value).ok();
            } else {
                self.check_name(name, *start);
                if let Ok(value) = self.reading(value) {
                    rules.push(ReadingRule { name: name.as_str().into(), value });
                }
            }
        }
        rules.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((rules, wildcard))
    }

    fn check_name(&mut self, name: &str, start: usize) {
        if !is_reading_name(name) {
            let name = shortened(name);
            let problem = if name.is_empty() { "empty" } else { "reserved in the state document" };
            let _: Checked<()> = self.add(start, format!("{name:?} cannot be the name of a reading: it is {problem}"));
        } else if name.len() > MAX_NAME_BYTES {
            let bytes = name.len();
            let _: Checked<()> =
                self.add(start, format!("the name has {bytes} bytes, and {MAX_NAME_BYTES} are allowed"));
        }
    }

    fn reading(&mut self, node: &Node) -> Checked<ReadingValue> {
        let Content::Object(_) = node.content else {
            let from = self.sources(node)?;
            return Ok(ReadingValue::Found { from, conversion: Conversion::Any, is_required: false });
        };
        let member = self.object(node, "a reading", &READING)?;
        if let Some(value) = member("value") {
            if let Some(other) = READING.iter().filter(|name| **name != "value").find_map(|name| member(name)) {
                return self.add(other.start, "a constant, which is a reading with `value`, has no other members");
            }
            return match value.to_value() {
                serde_json::Value::Null => self.expected(value, "a value other than null"),
                value => Ok(ReadingValue::Constant(value)),
            };
        }
        let from = match member("from") {
            Some(from) => self.sources(from),
            None => self.add(node.start, "a reading needs `from`, its source, or `value`, a constant"),
        };
        let is_required = self.optional(member("required"), Self::boolean);
        let conversion = self.conversion(&member);
        Ok(ReadingValue::Found { from: from?, conversion: conversion?, is_required: is_required?.unwrap_or_default() })
    }

    fn conversion<'n>(&mut self, member: &impl Fn(&str) -> Option<&'n Node>) -> Checked<Conversion> {
        let named = self.optional(member("type"), |checker, node| checker.one_of(node, "a type", &TYPES))?;
        let has_number_rule = ["range", "scale", "offset"].iter().any(|name| member(name).is_some());
        let kind = named.unwrap_or(match member("format") {
            _ if has_number_rule => Type::Number,
            Some(_) => Type::Time,
            None => Type::Any,
        });
        if member("values").is_none() {
            self.only(member, "scale", kind, &[Type::Number])?;
            self.only(member, "offset", kind, &[Type::Number])?;
            self.only(member, "range", kind, &[Type::Number, Type::Integer])?;
            self.only(member, "format", kind, &[Type::Time])?;
        }
        if let Some(values) = member("values") {
            if let Some(other) = ["range", "scale", "offset", "format"].iter().find_map(|name| member(name)) {
                return self
                    .add(other.start, "a reading with `values` cannot have `range`, `scale`, `offset` or `format`");
            }
            if matches!(named, Some(Type::Boolean | Type::Time)) {
                return self.add(values.start, "`values` can be used with the types `integer`, `number` and `string`");
            }
            let values = self.named_values(values)?;
            return Ok(Conversion::Named(NamedValues { values, stores_name: named == Some(Type::String) }));
        }
        let range = self.optional(member("range"), Self::range);
        let scale = self.optional(member("scale"), Self::number);
        let offset = self.optional(member("offset"), Self::number);
        let format = self.optional(member("format"), Self::time_format);
        let range = range?.unwrap_or_default();
        let double = |number: Option<&Number>, absent| number.and_then(Number::as_f64).unwrap_or(absent);
        Ok(match kind {
            Type::Any => Conversion::Any,
            Type::Number => Conversion::Number { scale: double(scale?, 1.0), offset: double(offset?, 0.0), range },
            Type::Integer => Conversion::Integer(range),
            Type::String => Conversion::String,
            Type::Boolean => Conversion::Boolean,
            Type::Time => Conversion::Time(format?.unwrap_or_default()),
        })
    }

    /// Checks that a member is only used with a type that it has an effect on.
    fn only<'n>(
        &mut self,
        member: &impl Fn(&str) -> Option<&'n Node>,
        name: &str,
        kind: Type,
        allowed: &[Type],
    ) -> Checked<()> {
        let Some(node) = member(name).filter(|_| !allowed.contains(&kind)) else { return Ok(()) };
        let allowed: Vec<_> =
            TYPES.iter().filter(|(_, kind)| allowed.contains(kind)).map(|(name, _)| format!("`{name}`")).collect();
        self.add(node.start, format!("`{name}` can only be used with the type {}", allowed.join(" or ")))
    }

    pub(super) fn time_format(&mut self, node: &Node) -> Checked<TimeFormat> {
        self.one_of(node, "a format of times", &TimeFormat::NAMES)
    }

    fn range(&mut self, node: &Node) -> Checked<Range> {
        let Content::Array(bounds) = &node.content else { return self.expected(node, "[minimum, maximum]") };
        let [min, max] = bounds.as_slice() else { return self.expected(node, "[minimum, maximum]") };
        let min = self.bound(min)?;
        let max = self.bound(max)?;
        match (min, max) {
            (None, None) => self.add(node.start, "the range has no bound: give a minimum or a maximum"),
            (Some(min), Some(max)) if min > max => {
                self.add(node.start, format!("the minimum {min} is greater than the maximum {max}"))
            }
            _ => Ok(Range { min, max }),
        }
    }

    fn bound(&mut self, node: &Node) -> Checked<Option<f64>> {
        match &node.content {
            Content::Scalar(serde_json::Value::Null) => Ok(None),
            Content::Scalar(serde_json::Value::Number(number)) => Ok(number.as_f64()),
            _ => self.expected(node, "a number, or null for no bound"),
        }
    }

    fn named_values(&mut self, node: &Node) -> Checked<Vec<(String, Number)>> {
        let members = self.members(node, "an object of numbers by their names")?;
        if members.len() > MAX_NAMES {
            return self.add(node.start, format!("there are {} names, and {MAX_NAMES} are allowed", members.len()));
        }
        let mut values: Vec<(String, Number)> = Vec::new();
        for Member { name, start, value } in members {
            let number = self.number(value)?;
            if let Some((same, _)) = values.iter().find(|(known, _)| is_same_name(known, name)) {
                return self.add(*start, format!("{:?} and {:?} are the same name", shortened(same), shortened(name)));
            }
            if let Some((same, _)) = values.iter().find(|(_, known)| is_equal(known, number)) {
                return self.add(*start, format!("{number} already has the name {:?}", shortened(same)));
            }
            values.push((name.clone(), number.clone()));
        }
        if values.is_empty() { self.add(node.start, "`values` needs at least one name") } else { Ok(values) }
    }

    fn wildcard(&mut self, node: &Node) -> Checked<Wildcard> {
        const EXPECTED: &str = "true, a JSON Pointer or an object with `from`";
        let of = |from| Wildcard { from, ..Wildcard::all() };
        match &node.content {
            Content::Scalar(serde_json::Value::Bool(true)) => return Ok(Wildcard::all()),
            Content::Scalar(serde_json::Value::String(_)) => return self.pointer(node).map(of),
            Content::Object(_) => {}
            _ => return self.expected(node, EXPECTED),
        }
        let member = self.object(node, "the rule `*`", &["from", "include", "exclude", "prefix", "name", "value"])?;
        let from = self.optional(member("from"), Self::pointer);
        let include = self.optional(member("include"), Self::patterns);
        let exclude = self.optional(member("exclude"), Self::patterns);
        let prefix = self.optional(member("prefix"), Self::prefix);
        let name = self.optional(member("name"), Self::pointer);
        let value = self.optional(member("value"), Self::pointer);
        let value = value?.unwrap_or_else(Pointer::root);
        let elements = match name? {
            Some(_) if member("value").is_none() => {
                return self.add(node.start, "`name` is for names beside their values: `value` is missing");
            }
            Some(name) => Elements::Pairs { name, value },
            None => Elements::Members { value },
        };
        Ok(Wildcard {
            from: from?.unwrap_or_else(Pointer::root),
            include: include?,
            exclude: exclude?.unwrap_or_default(),
            prefix: prefix?.unwrap_or_default(),
            elements,
        })
    }

    fn prefix(&mut self, node: &Node) -> Checked<String> {
        let prefix = self.text(node, "a text that the names begin with")?;
        if prefix.starts_with('_') || prefix.len() > MAX_NAME_BYTES {
            let issue = format!("a name cannot begin with `_`, and it has at most {MAX_NAME_BYTES} bytes");
            return self.add(node.start, issue);
        }
        Ok(prefix.to_owned())
    }

    fn patterns(&mut self, node: &Node) -> Checked<Vec<NamePattern>> {
        const EXPECTED: &str = "a list of names, such as [\"motor\", \"debug*\"]";
        let Content::Array(elements) = &node.content else { return self.expected(node, EXPECTED) };
        if elements.len() > MAX_NAMES {
            return self.add(node.start, format!("there are {} names, and {MAX_NAMES} are allowed", elements.len()));
        }
        let mut patterns: Vec<NamePattern> = Vec::new();
        for element in elements {
            let text = self.text(element, "a name, or with `*` at its end the beginning of names")?;
            let (start, is_prefix) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
            if start.contains('*') {
                return self.add(element.start, "`*` is only allowed at the end of a name");
            }
            let pattern = NamePattern { text: start.to_owned(), is_prefix };
            if patterns.contains(&pattern) {
                return self.add(element.start, format!("{:?} is given twice", shortened(text)));
            }
            patterns.push(pattern);
        }
        Ok(patterns)
    }
}

impl Wildcard {
    /// Returns the rule that takes all members of the record.
    pub(crate) fn all() -> Self {
        let elements = Elements::Members { value: Pointer::root() };
        Self { from: Pointer::root(), include: None, exclude: Vec::new(), prefix: String::new(), elements }
    }
}

/// Returns the rules without `readings`.
pub(super) fn all_readings() -> Readings {
    (Vec::new(), Some(Wildcard::all()))
}

/// Returns the sources of the device id without `device`.
pub(super) fn default_device() -> Sources {
    use crate::mapping::Source;
    let pointers = ["/deviceId", "/DeviceId", "/device_id", "/id"].map(Pointer::parse);
    Sources(pointers.into_iter().flatten().map(Source::Record).collect())
}
