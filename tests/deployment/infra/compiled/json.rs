//! The forms of the JSON that the compiler writes.

use serde_json::Value as Json;

use super::super::arm::literal;

/// A property of a compiled object: a value, or a loop, which is in the list `copy`.
pub(super) enum Property<'a> {
    Value(&'a Json),
    Copy(&'a Json),
}

/// Returns a property of a compiled object.
pub(super) fn property<'a>(object: &'a Json, name: &str) -> Option<Property<'a>> {
    let copy = object["copy"].as_array().into_iter().flatten().find(|copy| copy["name"] == name);
    copy.map(Property::Copy).or_else(|| object.get(name).map(Property::Value))
}

/// Returns whether a compiled value is this expression, or the literal that the expression is.
pub(in super::super) fn is_expression(json: &Json, expected: &str) -> bool {
    let text = match json {
        Json::Bool(bool) => return expected == format!("{bool}()"),
        Json::String(text) => text,
        other => return format!("{other}") == expected,
    };
    if let Some(rest) = text.strip_prefix('[').filter(|rest| !rest.starts_with('[')) {
        return rest.strip_suffix(']').is_some_and(|text| without_numbers(text) == expected);
    }
    // Of a literal that begins with a bracket, the bracket is doubled.
    let text = text.strip_prefix('[').unwrap_or(text);
    expected == literal(text)
}

/// Replaces the variable of each file's content by one name: the contents are compared by themselves.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split("variables('$fxv#");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + "variables('$fxv" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Returns a text, or an empty one.
pub(super) fn string(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}
