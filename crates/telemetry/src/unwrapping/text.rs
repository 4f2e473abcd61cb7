//! Text as devices send it: with a byte order mark, in UTF-16 or UTF-32, with zero bytes at the end, or as a JSON string.

use std::borrow::Cow;

use devicestate_engine::telemetry::Poison;
use serde::de::IgnoredAny;

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// An encoding of text with more than one byte for each character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wide {
    Utf16 { is_little: bool },
    Utf32 { is_little: bool },
}

/// Returns true if a text is in UTF-16 or UTF-32.
pub(super) fn is_utf_16_or_32(body: &[u8]) -> bool {
    detect(body).is_some()
}

/// Detects UTF-16 and UTF-32 from the byte order mark, or from the zero bytes of the first two characters: JSON begins with
/// ASCII. Returns it with the length of the mark.
fn detect(body: &[u8]) -> Option<(Wide, usize)> {
    let (wide, mark) = match body {
        [0xff, 0xfe, 0, 0, ..] => (Wide::Utf32 { is_little: true }, 4),
        [0, 0, 0xfe, 0xff, ..] => (Wide::Utf32 { is_little: false }, 4),
        [0xff, 0xfe, ..] => (Wide::Utf16 { is_little: true }, 2),
        [0xfe, 0xff, ..] => (Wide::Utf16 { is_little: false }, 2),
        [a, 0, 0, 0, b, 0, 0, 0, ..] if are_json(*a, *b) => (Wide::Utf32 { is_little: true }, 0),
        [0, 0, 0, a, 0, 0, 0, b, ..] if are_json(*a, *b) => (Wide::Utf32 { is_little: false }, 0),
        [a, 0, b, 0, ..] if are_json(*a, *b) => (Wide::Utf16 { is_little: true }, 0),
        [0, a, 0, b, ..] if are_json(*a, *b) => (Wide::Utf16 { is_little: false }, 0),
        _ => return None,
    };
    Some((wide, mark))
}

/// Returns true if JSON can begin with these two characters.
fn are_json(first: u8, second: u8) -> bool {
    let is_text = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    (matches!(first, b'{' | b'[' | b'"') || first.is_ascii_whitespace()) && is_text(second)
}

/// Returns a text in UTF-8, without byte order mark and without zero bytes at the end.
pub(super) fn decode(body: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, Poison> {
    let text = match detect(&body) {
        Some((wide, mark)) => Cow::Owned(to_utf_8(&body[mark..], wide)?.into_bytes()),
        None if body.starts_with(UTF_8_MARK) => without_first(body, UTF_8_MARK.len()),
        None => body,
    };
    let length = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..length]),
        Cow::Owned(mut text) => {
            text.truncate(length);
            Cow::Owned(text)
        }
    })
}

/// Removes the first bytes.
pub(super) fn without_first(text: Cow<'_, [u8]>, bytes: usize) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[bytes..]),
        Cow::Owned(mut text) => {
            text.drain(..bytes);
            Cow::Owned(text)
        }
    }
}

fn to_utf_8(text: &[u8], wide: Wide) -> Result<String, Poison> {
    let (name, decoded) = match wide {
        Wide::Utf16 { is_little } => {
            let read = if is_little { u16::from_le_bytes } else { u16::from_be_bytes };
            let (units, rest) = text.as_chunks::<2>();
            // One zero byte at the end is not part of the text.
            let is_complete = rest.is_empty() || *rest == [0];
            let decoded = char::decode_utf16(units.iter().map(|unit| read(*unit))).collect::<Result<String, _>>();
            ("UTF-16", decoded.ok().filter(|_| is_complete))
        }
        Wide::Utf32 { is_little } => {
            let read = if is_little { u32::from_le_bytes } else { u32::from_be_bytes };
            let (units, rest) = text.as_chunks::<4>();
            let is_complete = rest.iter().all(|byte| *byte == 0);
            let decoded: Option<String> = units.iter().map(|unit| char::from_u32(read(*unit))).collect();
            ("UTF-32", decoded.filter(|_| is_complete))
        }
    };
    decoded.ok_or_else(|| Poison::Undecodable(format!("the body begins like {name} text, but is not valid {name}")))
}

/// Returns true if a body begins like JSON in any encoding, or is empty.
pub(super) fn may_be_json(body: &[u8]) -> bool {
    if is_utf_16_or_32(body) {
        return true;
    }
    match body.strip_prefix(UTF_8_MARK).unwrap_or(body).trim_ascii_start() {
        [] | [b'{' | b'[' | b'"' | b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => true,
        text => [&b"true"[..], b"false", b"null"].iter().any(|word| text.starts_with(word)),
    }
}

/// Returns true if a body is empty or JSON text, in any encoding. An object or array is not parsed: no protobuf message begins
/// like one. But a line feed is also the tag of field 1, and a quotation mark that of field 4.
pub(super) fn is_json(body: &[u8]) -> bool {
    if matches!(body, [b'{' | b'[', ..]) {
        return true;
    }
    let Ok(text) = decode(Cow::Borrowed(body)) else { return false };
    // A text of white space is not telemetry. In UTF-16, the two bytes of an empty field 1 are a line feed.
    let is_blank = text.trim_ascii().is_empty() && !body.is_empty();
    !is_blank
        && may_be_json(&text)
        && serde_json::Deserializer::from_slice(&text).into_iter::<IgnoredAny>().all(|value| value.is_ok())
}

/// Returns the text in a JSON string that contains an object or an array: some senders encode a text once more. Goes into at
/// most `layers` strings.
pub(super) fn unquote(text: Cow<'_, [u8]>, layers: usize) -> Cow<'_, [u8]> {
    if text.trim_ascii_start().first() != Some(&b'"') {
        return text;
    }
    let mut inner: Option<String> = None;
    for _ in 0..layers {
        let outer = inner.as_ref().map_or(&*text, |inner| inner.as_bytes());
        let Ok(next) = serde_json::from_slice::<String>(outer) else { break };
        let next = next.trim_end_matches('\0').strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(next);
        match next.as_bytes().trim_ascii_start().first() {
            Some(b'{' | b'[') => return Cow::Owned(next.into_bytes()),
            Some(b'"') => inner = Some(next),
            _ => break,
        }
    }
    text
}
