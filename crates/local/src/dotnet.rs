//! JSON as Newtonsoft.Json reads and writes it, and values as .NET prints them. The host does both with the parts of a request
//! or a reply that it does not pass on as text.

use std::{fmt, io};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{
    Serializer,
    ser::{CompactFormatter, Formatter},
    value::RawValue,
};

/// Serializes a value as the host does.
pub(crate) fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    let mut json = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut json, HostFormatter)).expect("every key is a string");
    String::from_utf8(json).expect("JSON is UTF-8")
}

/// Escapes what Newtonsoft.Json escapes in addition to `serde_json`: the line separators that JavaScript does not allow in a
/// string.
struct HostFormatter;

impl Formatter for HostFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some((at, separator)) = rest.char_indices().find(|(_, character)| is_separator(*character)) {
            write!(writer, "{}\\u{:04x}", &rest[..at], u32::from(separator))?;
            rest = &rest[at + separator.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

fn is_separator(character: char) -> bool {
    matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The members of a JSON object in their order. Of members with the same name the last one counts.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Parses an object; `None` for anything else.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    match members.iter_mut().find(|(other, _)| *other == name) {
                        Some((_, earlier)) => *earlier = value,
                        None => members.push((name, value)),
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A JSON value.
pub(crate) enum Json<'a> {
    Null,
    Boolean(bool),
    Number(&'a str),
    Text(String),
    Array(Vec<&'a RawValue>),
    Object(Members<'a>),
}

impl<'a> Json<'a> {
    pub(crate) fn read(value: &'a RawValue) -> Self {
        let json = value.get();
        // Only a string with an unpaired surrogate fails, which the host accepts.
        let text = || serde_json::from_str(json).unwrap_or_else(|_| json.trim_matches('"').to_owned());
        match json.as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Boolean(json == "true"),
            b'"' => Self::Text(text()),
            b'[' => Self::Array(serde_json::from_str(json).unwrap_or_default()),
            b'{' => Self::Object(Members::parse(json).unwrap_or_default()),
            _ => Self::Number(json),
        }
    }
}

/// Serializes a JSON value again: its numbers are those that .NET has read. With `Some`, on several lines from this indent on.
pub(crate) fn rewrite(value: &RawValue, indent: Option<usize>) -> String {
    match Json::read(value) {
        Json::Null => "null".into(),
        Json::Boolean(value) => value.to_string(),
        Json::Number(number) => {
            let text = number_text(number);
            // A number that .NET has read as a `double` keeps a point.
            let is_double = number.contains(['.', 'e', 'E']);
            if is_double && !text.contains(['.', 'E']) { text + ".0" } else { text }
        }
        Json::Text(text) => to_json(&text),
        Json::Array(elements) => {
            let elements = elements.iter().map(|element| rewrite(element, indent.map(|indent| indent + 2)));
            lines('[', &elements.collect::<Vec<_>>(), ']', indent)
        }
        Json::Object(Members(members)) => {
            let colon = if indent.is_some() { ": " } else { ":" };
            let members = members.iter().map(|(name, value)| {
                format!("{}{colon}{}", to_json(name), rewrite(value, indent.map(|indent| indent + 2)))
            });
            lines('{', &members.collect::<Vec<_>>(), '}', indent)
        }
    }
}

/// Joins the parts of an array or object.
fn lines(open: char, parts: &[String], close: char, indent: Option<usize>) -> String {
    match indent {
        Some(indent) if !parts.is_empty() => {
            let line = format!("\n{:1$}", "", indent + 2);
            format!("{open}{line}{}\n{:indent$}{close}", parts.join(&format!(",{line}")), "")
        }
        _ => format!("{open}{}{close}", parts.join(",")),
    }
}

/// Returns a number as .NET prints it: an integer as it is, any other as the shortest text of its `double`.
pub(crate) fn number_text(number: &str) -> String {
    match number.parse() {
        _ if !number.contains(['.', 'e', 'E']) => number.to_owned(),
        Ok(double) => double_text(double),
        Err(_) => number.to_owned(),
    }
}

/// Returns a `double` as .NET prints it.
fn double_text(double: f64) -> String {
    /// With at most this many digits before the point, there is no exponent.
    const MAX_INTEGER_DIGITS: i32 = 15;
    // The shortest text that is read as the same number, as in .NET, but always with an exponent.
    let text = format!("{double:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let max = MAX_INTEGER_DIGITS.max(i32::try_from(digits).unwrap_or(i32::MAX));
    match exponent.parse() {
        Ok(exponent @ -5..) if exponent != -5 && exponent < max => format!("{double}"),
        Ok(exponent) => format!("{mantissa}E{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
        Err(_) => text,
    }
}

/// Serializes a `double` as Newtonsoft.Json does.
pub(crate) fn double_json(double: f64) -> Box<RawValue> {
    let text = double_text(double);
    let text = if text.contains(['.', 'E']) || !double.is_finite() { text } else { text + ".0" };
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Returns a text as .NET prints it after Newtonsoft.Json has read it from JSON: a time in ISO 8601 has become a `DateTime`.
pub(crate) fn date_text(text: String) -> String {
    const FORMAT: &str = "%m/%d/%Y %H:%M:%S";
    if !(19..=40).contains(&text.len()) || text.as_bytes()[10] != b'T' {
        return text;
    }
    // A time with an offset becomes the host's local time, which is UTC.
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return time.strftime(FORMAT).to_string();
    }
    text.parse::<jiff::civil::DateTime>().map_or(text, |time| time.strftime(FORMAT).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(json: &str, indent: Option<usize>) -> String {
        rewrite(serde_json::from_str(json).expect("JSON"), indent)
    }

    #[test]
    fn numbers_are_rewritten_as_the_doubles_and_integers_of_dotnet() {
        for (json, expected) in [
            ("1.10", "1.1"),
            ("1e3", "1000.0"),
            ("-0.0", "-0.0"),
            ("12345678901234567000", "12345678901234567000"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1e14", "100000000000000.0"),
            ("1e15", "1E+15"),
            ("9007199254740992.0", "9007199254740992.0"),
            ("1.5e20", "1.5E+20"),
            ("0.0001", "0.0001"),
            ("0.00001", "1E-05"),
        ] {
            assert_eq!(rewritten(json, None), expected, "{json}");
        }
        assert_eq!(number_text("1e3"), "1000");
    }

    #[test]
    fn members_keep_their_order_and_the_last_of_a_name_counts() {
        assert_eq!(rewritten(r#"{"b": 1, "a": [ ], "b": {"c": [1, 2]}}"#, None), r#"{"b":{"c":[1,2]},"a":[]}"#);
        let indented = "{\n  \"b\": [\n    1,\n    {\n      \"c\": null\n    }\n  ],\n  \"a\": {}\n}";
        assert_eq!(rewritten(r#"{"b": [1, {"c": null}], "a": {}}"#, Some(0)), indented);
    }

    #[test]
    fn the_line_separators_of_javascript_are_escaped_and_other_characters_are_not() {
        assert_eq!(to_json("ä😀\u{85}\u{2028}x\u{2029}</\u{1}\u{7f}"), "\"ä😀\\u0085\\u2028x\\u2029</\\u0001\u{7f}\"");
    }

    #[test]
    fn a_time_in_a_text_is_printed_as_a_date_time_of_dotnet() {
        for (text, expected) in [
            ("2026-01-02T03:04:05.678901Z", "01/02/2026 03:04:05"),
            ("2026-01-02T03:04:05+02:00", "01/02/2026 01:04:05"),
            ("2026-01-02T03:04:05", "01/02/2026 03:04:05"),
            ("2026-01-02 03:04:05", "2026-01-02 03:04:05"),
            ("äöüäöüäöüäöü", "äöüäöüäöüäöü"),
        ] {
            assert_eq!(date_text(text.into()), expected);
        }
    }
}
