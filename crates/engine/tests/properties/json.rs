//! Generates JSON as text, with spaces, digits and escapes that a value would lose.

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

/// Generates any text up to the length `longest`, with characters that JSON must escape.
pub(crate) fn text(longest: usize) -> impl Strategy<Value = String> {
    let character = prop_oneof![
        6 => prop::char::range('a', 'f'),
        1 => prop::sample::select(vec!['"', '\\', '/', '{', '[', '\n', '\t', '\u{1}', '\u{7f}', ' ', '-', '=']),
        1 => prop::sample::select(vec!['é', 'ß', '€', '\u{2028}', '\u{feff}', '\u{10348}', '\u{10ffff}']),
    ];
    vec(character, 0..=longest).prop_map(String::from_iter)
}

/// Generates a JSON string, either as short as possible or with an escape for each character that is not a letter.
pub(crate) fn quoted(text: &str, is_escaped: bool) -> String {
    if !is_escaped {
        return Value::from(text).to_string();
    }
    let units = text.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii_alphabetic() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    format!("\"{}\"", units.collect::<String>())
}

/// A string as JSON.
pub(crate) fn string(longest: usize) -> impl Strategy<Value = String> {
    (text(longest), any::<bool>()).prop_map(|(text, is_escaped)| quoted(&text, is_escaped))
}

/// Generates a small JSON value.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let numbers = ["0", "-0", "-0.0", "1.50", "1e2", "1E-7", "48211", "9007199254740993", "12345678901234567890123"];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|is_true| is_true.to_string()),
        prop::sample::select(numbers.to_vec()).prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        string(8),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..4), spaces()).prop_map(|(cells, spaces)| array(&cells, &spaces)),
            (vec((string(4), inner), 0..4), spaces()).prop_map(|(members, spaces)| object(&members, &spaces)),
        ]
    })
}

/// Generates a small JSON value, or an object with a name that is not a valid string but that `RawValue` accepts.
pub(crate) fn value_as_sent() -> impl Strategy<Value = String> {
    let unspeakable = [r#"{"\ud800":1}"#, r#"{"a":{"\ud800":"\ud800"}}"#];
    prop_oneof![12 => value(), 1 => prop::sample::select(unspeakable.to_vec()).prop_map(str::to_owned)]
}

/// Generates the white space between two tokens, mostly none.
pub(crate) fn spaces() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

/// Generates an array of these values.
pub(crate) fn array(cells: &[String], spaces: &str) -> String {
    format!("[{spaces}{}{spaces}]", cells.join(&format!("{spaces},{spaces}")))
}

/// Generates an object of these members, whose names are also JSON.
pub(crate) fn object(members: &[(String, String)], spaces: &str) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}{spaces}:{spaces}{value}")).collect();
    format!("{{{spaces}{}{spaces}}}", members.join(&format!("{spaces},{spaces}")))
}
