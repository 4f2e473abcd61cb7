//! Parses the host's JSON without copying it.
//!
//! A request is mostly a few long strings that each contain a JSON array, and most of their content is never used. So a
//! string is scanned once, many bytes at a time, for its end and for invalid bytes, and objects are parsed here. Arrays and
//! numbers that are not plain digits are left to `serde_json`. This parser accepts exactly the JSON that `serde_json`
//! accepts, as long as it is UTF-8.
//!
//! Most functions return a value together with the rest: the text after the value.

mod string;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

pub(crate) use string::ordinary_len;
use string::parse_string;

/// An unparsed JSON value in a text. A string includes its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    /// The value's text. It is UTF-8.
    pub(crate) text: &'a [u8],
    escapes: Escapes,
}

/// The escapes in the text of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// Nothing.
    None,
    /// Only quotes.
    Quotes,
    /// Other characters as well. Also used for each value that is not a string.
    Any,
    /// Only the string's own quotes: see [`Quotes::Escaped`]. Used for each value in such a text.
    OwnQuotes,
}

/// How quotes are written in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// As in plain JSON.
    Plain,
    /// Each with a backslash, because the text is read inside a JSON string. Nothing else in it is escaped, so its own strings
    /// have no escapes.
    Escaped,
}

/// A value that owns a reference to its request.
#[derive(Debug, Clone)]
pub(crate) struct RequestValue {
    text: Bytes,
    escapes: Escapes,
}

impl RequestValue {
    pub(crate) fn raw(&self) -> Raw<'_> {
        Raw { text: &self.text, escapes: self.escapes }
    }
}

impl<'a> Raw<'a> {
    /// Parses a text that is exactly one value, apart from white space around it.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (raw, rest) = parse_value(trim_start(text), Quotes::Plain)?;
        expect_end(rest)?;
        Some(raw)
    }

    /// Returns the value with a reference to the request that contains it.
    pub(crate) fn in_request(self, request: &Bytes) -> RequestValue {
        RequestValue { text: request.slice_ref(self.text), escapes: self.escapes }
    }

    /// Returns the text between the quotes of a string; `None` for another value.
    #[inline]
    pub(crate) fn in_quotes(self) -> Option<&'a [u8]> {
        match self.escapes {
            Escapes::OwnQuotes => self.text.strip_prefix(br#"\""#)?.strip_suffix(br#"\""#),
            _ => self.text.strip_prefix(b"\"")?.strip_suffix(b"\""),
        }
    }

    /// Returns the JSON that a string contains, or the text of any other value, without copying it. `None` if the string must
    /// be unescaped first.
    pub(crate) fn contained_json(self) -> Option<(&'a [u8], Quotes)> {
        match (self.in_quotes(), self.escapes) {
            (_, Escapes::OwnQuotes) | (Some(_), Escapes::Any) => None,
            (None, _) => Some((self.text, Quotes::Plain)),
            (Some(text), Escapes::None) => Some((text, Quotes::Plain)),
            (Some(text), Escapes::Quotes) => Some((text, Quotes::Escaped)),
        }
    }

    /// Returns true if the text may have `\u` escapes, so that a text search may miss letters.
    pub(crate) fn may_have_unicode_escapes(self) -> bool {
        self.escapes == Escapes::Any && memchr::memchr(b'\\', self.text).is_some()
    }

    /// Returns the unescaped content of a string, or the text of any other value. `None` for a string with an unpaired
    /// surrogate, and for a value that is not a string in a text with escaped quotes.
    #[inline]
    pub(crate) fn unquoted(self) -> Option<Cow<'a, [u8]>> {
        match (self.in_quotes(), self.escapes) {
            (None, Escapes::OwnQuotes) => None,
            (None, _) => Some(Cow::Borrowed(self.text)),
            (Some(text), Escapes::None | Escapes::OwnQuotes) => Some(Cow::Borrowed(text)),
            (Some(text), Escapes::Quotes) => Some(Cow::Owned(without_backslashes(text))),
            (Some(_), Escapes::Any) => {
                serde_json::from_slice(self.text).ok().map(|text: String| Cow::Owned(text.into_bytes()))
            }
        }
    }
}

/// Removes the backslashes from a text in which each one is before a quote.
fn without_backslashes(text: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memchr::memchr_iter(b'\\', text) {
        unescaped.extend_from_slice(&text[from..at]);
        from = at + 1;
    }
    unescaped.extend_from_slice(&text[from..]);
    unescaped
}

/// The names and values of an object's members, in their order.
pub(crate) type Members<'a> = Vec<(Cow<'a, [u8]>, Raw<'a>)>;

/// Calls `member` for each member of the object that this text is, with the name and the text from the value on; `member`
/// returns the rest after the value. `None` if the text is not an object or `member` returns `None`.
pub(crate) fn each_member<'a>(
    text: &'a [u8],
    mut member: impl FnMut(Cow<'a, [u8]>, &'a [u8]) -> Option<&'a [u8]>,
) -> Option<()> {
    expect_end(parse_object(trim_start(text), Quotes::Plain, |name, text| member(name.unquoted()?, text))?)
}

/// Parses the object at the start of the text; returns its members and the rest.
pub(crate) fn parse_members(text: &[u8]) -> Option<(Members<'_>, &[u8])> {
    let mut members = Vec::new();
    let rest = parse_object(text, Quotes::Plain, |name, text| {
        let (member, rest) = parse_value(text, Quotes::Plain)?;
        members.push((name.unquoted()?, member));
        Some(rest)
    })?;
    Some((members, rest))
}

/// Parses the array that this text is; `None` if it is not an array. `element` parses one element and returns it with the
/// rest.
pub(crate) fn parse_elements<'a, T>(
    text: &'a [u8],
    element: impl Fn(&'a [u8]) -> Option<(T, &'a [u8])>,
) -> Option<Vec<T>> {
    let mut elements = Vec::new();
    let one_more = |text| {
        let (element, rest) = element(text)?;
        elements.push(element);
        Some(rest)
    };
    expect_end(each_part(trim_start(text), *b"[]", one_more)?)?;
    Some(elements)
}

/// Calls `member` for each member of the object at the start of the text, and returns the rest. `member` gets the name with
/// its quotes and the text from the value on, and returns the rest after the value.
pub(crate) fn parse_object<'a>(
    text: &'a [u8],
    quotes: Quotes,
    mut member: impl FnMut(Raw<'a>, &'a [u8]) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    each_part(text, *b"{}", |text| {
        let (name, rest) = parse_string(text, quotes)?;
        member(name, trim_start(trim_start(rest).strip_prefix(b":")?))
    })
}

/// Calls `part` for each of the comma-separated parts between these brackets, and returns the rest after the brackets.
/// `part` returns the rest after the part.
pub(crate) fn each_part<'a>(
    text: &'a [u8],
    [open, close]: [u8; 2],
    mut part: impl FnMut(&'a [u8]) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    let mut rest = trim_start(text.strip_prefix(&[open])?);
    if rest.first() != Some(&close) {
        loop {
            rest = trim_start(part(rest)?);
            match rest.split_first()? {
                (b',', after) => rest = trim_start(after),
                _ => break,
            }
        }
    }
    rest.strip_prefix(&[close])
}

/// Returns `None` if the rest is more than white space.
pub(crate) fn expect_end(rest: &[u8]) -> Option<()> {
    trim_start(rest).is_empty().then_some(())
}

/// Parses the value at the start of the text, which has no white space before it; returns it with the rest.
pub(crate) fn parse_value(text: &[u8], quotes: Quotes) -> Option<(Raw<'_>, &[u8])> {
    /// Maximum nesting of objects handled here; deeper values go to `serde_json`.
    const MAX_DEPTH: usize = 8;
    if let Some(string) = parse_string(text, quotes) {
        return Some(string);
    }
    let rest = skip_value(text, quotes, MAX_DEPTH)?;
    let (text, rest) = text.split_at(text.len() - rest.len());
    let escapes = if quotes == Quotes::Escaped { Escapes::OwnQuotes } else { Escapes::Any };
    Some((Raw { text, escapes }, rest))
}

/// Returns the rest after the value at the start of the text.
fn skip_value(text: &[u8], quotes: Quotes, depth: usize) -> Option<&[u8]> {
    match text.first()? {
        b'"' | b'\\' => parse_string(text, quotes).map(|(_, rest)| rest),
        b'{' if depth > 0 => parse_object(text, quotes, |_, value| skip_value(value, quotes, depth - 1)),
        b't' => text.strip_prefix(b"true"),
        b'f' => text.strip_prefix(b"false"),
        b'n' => text.strip_prefix(b"null"),
        b'1'..=b'9' => {
            let digits = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
            match text.get(digits) {
                Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') => Some(&text[digits..]),
                _ => skip_with_serde(text),
            }
        }
        _ => skip_with_serde(text),
    }
}

/// Returns the rest after any value. In a text with escaped quotes it finds no value with strings: such a text must be
/// unescaped first.
fn skip_with_serde(text: &[u8]) -> Option<&[u8]> {
    let value: &RawValue = serde_json::Deserializer::from_slice(text).into_iter().next()?.ok()?;
    Some(&text[value.get().len()..])
}

/// Removes JSON white space from the start of the text.
pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    if text.first().is_some_and(|byte| *byte > b' ') {
        return text;
    }
    let begin = text.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(text.len());
    &text[begin..]
}

#[cfg(test)]
mod tests;
