//! Reads single properties of the object that each event has in a metadata array.

use std::borrow::Cow;

use crate::json::{Quotes, Raw, parse_object, parse_value};

/// The texts of properties.
type Texts<'t, const N: usize> = [Option<Cow<'t, str>>; N];

/// Parses the properties with these names in the object at the start of the text; returns them with the text after it. If it
/// is not an object, or if one of these properties is duplicated or not a string, all count as absent.
pub(super) fn properties<'t, const N: usize>(
    text: &'t [u8],
    quotes: Quotes,
    names: [&str; N],
) -> Option<(Texts<'t, N>, &'t [u8])> {
    const ABSENT: Option<Cow<'_, str>> = None;
    if quotes == Quotes::Escaped
        && let Some((values, rest)) = flat_properties(text, names)
    {
        return Some((values.map(|value| value.map(Cow::Borrowed)), rest));
    }
    if !text.starts_with(b"{") {
        return parse_value(text, quotes).map(|(_, rest)| ([ABSENT; N], rest));
    }
    let (mut values, mut is_valid) = ([None; N], true);
    let rest = parse_object(text, quotes, |name, text| {
        let (value, rest) = parse_value(text, quotes)?;
        match name.unquoted() {
            Some(name) => {
                if let Some(index) = names.iter().position(|wanted| *name == *wanted.as_bytes()) {
                    is_valid &= values[index].replace(value).is_none();
                }
            }
            None => is_valid = false,
        }
        Some(rest)
    })?;
    let mut texts = [ABSENT; N];
    for (text, value) in texts.iter_mut().zip(values) {
        match property_text(value) {
            Ok(value) => *text = value,
            Err(NotText) => is_valid = false,
        }
    }
    Some((if is_valid { texts } else { [ABSENT; N] }, rest))
}

/// Parses the properties with these names in an object as the host writes it in a string: without white space, and with strings,
/// positive integers and nulls as values. `None` for any other object, and if one of these properties is duplicated or not a
/// string.
fn flat_properties<'t, const N: usize>(text: &'t [u8], names: [&str; N]) -> Option<([Option<&'t str>; N], &'t [u8])> {
    let mut values = [None; N];
    let mut rest = text;
    let mut before_name = b'{';
    loop {
        let (name, value) = split_string(rest.strip_prefix(&[before_name])?)?;
        let value = value.strip_prefix(b":")?;
        let wanted = names.iter().position(|wanted| *name == *wanted.as_bytes());
        rest = match (wanted, split_string(value)) {
            (Some(index), Some((text, rest))) if values[index].is_none() => {
                values[index] = Some(str::from_utf8(text).ok()?);
                rest
            }
            (Some(_), _) => return None,
            (None, Some((_, rest))) => rest,
            (None, None) => value.strip_prefix(b"null").or_else(|| skip_digits(value))?,
        };
        match rest.split_first()? {
            (b',', _) => before_name = b',',
            (b'}', rest) => return Some((values, rest)),
            _ => return None,
        }
    }
}

/// Returns the content of the string between escaped quotes at the start of the text, and the rest.
fn split_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = text.strip_prefix(br#"\""#)?;
    let end = memchr::memchr(b'\\', content)?;
    Some((&content[..end], content.get(end + 2..)?))
}

/// Returns the rest after the positive integer at the start of the text.
fn skip_digits(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().position(|byte| !byte.is_ascii_digit())?;
    matches!(text.first(), Some(b'1'..=b'9')).then_some(&text[digits..])
}

/// A property is not a string.
struct NotText;

/// Returns the text of a property, which may be absent or null.
fn property_text(property: Option<Raw<'_>>) -> Result<Option<Cow<'_, str>>, NotText> {
    let Some(value) = property.filter(|value| value.text != b"null") else { return Ok(None) };
    let text = match value.in_quotes().and_then(|_| value.unquoted()).ok_or(NotText)? {
        Cow::Borrowed(text) => str::from_utf8(text).ok().map(Cow::Borrowed),
        Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
    };
    text.map(Some).ok_or(NotText)
}
