//! The host's JSON, taken apart without being copied: what is held in it, and where.
//!
//! A request is mostly a few long strings, each of which holds a JSON array, and most of what they hold is never asked
//! for. So a string is looked over once, many bytes at a time, for its end and for what may not be in it, and objects are
//! gone through; arrays and numbers that are not plain digits are left to `serde_json`. Just what `serde_json` takes for
//! JSON is taken for it here, as long as it is UTF-8.

mod string;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

pub(crate) use string::ordinary;
use string::string;

/// A JSON value as it stands in a text. A string has its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    /// The value's text. It is UTF-8.
    pub(crate) text: &'a [u8],
    escapes: Escapes,
}

/// What is escaped in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// Nothing.
    None,
    /// Quotes, and nothing else.
    Quotes,
    /// Other characters, too. So it is said of every value that is no string.
    Any,
    /// Nothing but its own quotes: see [`Quotes::Escaped`]. So it is said of every value that stands in such a text.
    Outside,
}

/// How the quotes of a text are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// As JSON has them.
    Plain,
    /// Each with a backslash, since the text stands in a string, where it is read as it stands. Nothing else in it is
    /// escaped, and so its own strings have no escapes at all.
    Escaped,
}

/// A value that keeps the request in which it stands.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    text: Bytes,
    escapes: Escapes,
}

impl Kept {
    pub(crate) fn raw(&self) -> Raw<'_> {
        Raw { text: &self.text, escapes: self.escapes }
    }
}

impl<'a> Raw<'a> {
    /// The one value that this text is, white space around it aside.
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        let (raw, rest) = value(without_blanks(text), Quotes::Plain)?;
        ends(rest)?;
        Some(raw)
    }

    /// The same, for longer.
    pub(crate) fn kept(self, request: &Bytes) -> Kept {
        Kept { text: request.slice_ref(self.text), escapes: self.escapes }
    }

    /// What stands between the quotes of a string; `None` for another value.
    #[inline]
    pub(crate) fn in_quotes(self) -> Option<&'a [u8]> {
        match self.escapes {
            Escapes::Outside => self.text.strip_prefix(br#"\""#)?.strip_suffix(br#"\""#),
            _ => self.text.strip_prefix(b"\"")?.strip_suffix(b"\""),
        }
    }

    /// The JSON that this value holds, to be read as it stands: that in a string, or any other value's own. `None` where
    /// it has to be unquoted first.
    pub(crate) fn held(self) -> Option<(&'a [u8], Quotes)> {
        match (self.in_quotes(), self.escapes) {
            (_, Escapes::Outside) | (Some(_), Escapes::Any) => None,
            (None, _) => Some((self.text, Quotes::Plain)),
            (Some(text), Escapes::None) => Some((text, Quotes::Plain)),
            (Some(text), Escapes::Quotes) => Some((text, Quotes::Escaped)),
        }
    }

    /// Whether there may be letters in it that are written by their number, and so are not seen in the text.
    pub(crate) fn may_hide_letters(self) -> bool {
        self.escapes == Escapes::Any && memchr::memchr(b'\\', self.text).is_some()
    }

    /// The text in a string, or any other value as its own text. `None` for a string that says no text, since it has half
    /// of a surrogate pair, and for what is no string and stands in a text whose quotes are escaped.
    #[inline]
    pub(crate) fn unquoted(self) -> Option<Cow<'a, [u8]>> {
        match (self.in_quotes(), self.escapes) {
            (None, Escapes::Outside) => None,
            (None, _) => Some(Cow::Borrowed(self.text)),
            (Some(text), Escapes::None | Escapes::Outside) => Some(Cow::Borrowed(text)),
            (Some(text), Escapes::Quotes) => Some(Cow::Owned(without_backslashes(text))),
            (Some(_), Escapes::Any) => {
                serde_json::from_slice(self.text).ok().map(|text: String| Cow::Owned(text.into_bytes()))
            }
        }
    }
}

/// A text in which each backslash stands before a quote, without the backslashes.
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

/// The members of an object, in their order.
pub(crate) type Members<'a> = Vec<(Cow<'a, [u8]>, Raw<'a>)>;

/// Goes through the members of the JSON object that this text is: `member` gets the name and the text from the value on,
/// and gives back the text behind the value. `None` when this is no object, or a member none.
pub(crate) fn each_member<'a>(
    text: &'a [u8],
    mut member: impl FnMut(Cow<'a, [u8]>, &'a [u8]) -> Option<&'a [u8]>,
) -> Option<()> {
    ends(object(without_blanks(text), Quotes::Plain, |name, text| member(name.unquoted()?, text))?)
}

/// The members of the object with which the text begins, and the text behind it.
pub(crate) fn members(text: &[u8]) -> Option<(Members<'_>, &[u8])> {
    let mut members = Vec::new();
    let rest = object(text, Quotes::Plain, |name, text| {
        let (member, rest) = value(text, Quotes::Plain)?;
        members.push((name.unquoted()?, member));
        Some(rest)
    })?;
    Some((members, rest))
}

/// The elements of the JSON array that this text is; `None` when it is none. `element` makes one of the text that begins
/// with it, and gives back the text behind it as well.
pub(crate) fn elements<'a, T>(text: &'a [u8], element: impl Fn(&'a [u8]) -> Option<(T, &'a [u8])>) -> Option<Vec<T>> {
    let mut elements = Vec::new();
    let one_more = |text| {
        let (element, rest) = element(text)?;
        elements.push(element);
        Some(rest)
    };
    ends(each(without_blanks(text), *b"[]", one_more)?)?;
    Some(elements)
}

/// Goes through the members of the object with which the text begins, and gives back the text behind it. `member` gets the
/// name, which has its quotes, and the text from the value on, and gives back the text behind the value.
pub(crate) fn object<'a>(
    text: &'a [u8],
    quotes: Quotes,
    mut member: impl FnMut(Raw<'a>, &'a [u8]) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    each(text, *b"{}", |text| {
        let (name, rest) = string(text, quotes)?;
        member(name, without_blanks(without_blanks(rest).strip_prefix(b":")?))
    })
}

/// Goes from one part to the next of what stands between these brackets, and gives back the text behind them. So does
/// `part` with a part.
pub(crate) fn each<'a>(
    text: &'a [u8],
    [open, close]: [u8; 2],
    mut part: impl FnMut(&'a [u8]) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    let mut rest = without_blanks(text.strip_prefix(&[open])?);
    if rest.first() != Some(&close) {
        loop {
            rest = without_blanks(part(rest)?);
            match rest.split_first()? {
                (b',', behind) => rest = without_blanks(behind),
                _ => break,
            }
        }
    }
    rest.strip_prefix(&[close])
}

/// That nothing is left but white space.
pub(crate) fn ends(rest: &[u8]) -> Option<()> {
    without_blanks(rest).is_empty().then_some(())
}

/// The value with which this text begins, which has no blanks in front, and the text behind it.
pub(crate) fn value(text: &[u8], quotes: Quotes) -> Option<(Raw<'_>, &[u8])> {
    /// Objects in objects so deep are gone into here.
    const DEEPEST: usize = 8;
    if let Some(string) = string(text, quotes) {
        return Some(string);
    }
    let rest = behind_value(text, quotes, DEEPEST)?;
    let (text, rest) = text.split_at(text.len() - rest.len());
    let escapes = if quotes == Quotes::Escaped { Escapes::Outside } else { Escapes::Any };
    Some((Raw { text, escapes }, rest))
}

/// The text behind the value with which this text begins.
fn behind_value(text: &[u8], quotes: Quotes, depth: usize) -> Option<&[u8]> {
    match text.first()? {
        b'"' | b'\\' => string(text, quotes).map(|(_, rest)| rest),
        b'{' if depth > 0 => object(text, quotes, |_, value| behind_value(value, quotes, depth - 1)),
        b't' => text.strip_prefix(b"true"),
        b'f' => text.strip_prefix(b"false"),
        b'n' => text.strip_prefix(b"null"),
        b'1'..=b'9' => {
            let digits = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
            match text.get(digits) {
                Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') => Some(&text[digits..]),
                _ => behind_any(text),
            }
        }
        _ => behind_any(text),
    }
}

/// In a text whose quotes are escaped, nothing with strings in it is found so: that text has to be unquoted first.
fn behind_any(text: &[u8]) -> Option<&[u8]> {
    let value: &RawValue = serde_json::Deserializer::from_slice(text).into_iter().next()?.ok()?;
    Some(&text[value.get().len()..])
}

/// The text from the first byte on that is no white space to JSON.
pub(crate) fn without_blanks(text: &[u8]) -> &[u8] {
    if text.first().is_some_and(|byte| *byte > b' ') {
        return text;
    }
    let begin = text.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(text.len());
    &text[begin..]
}

#[cfg(test)]
mod tests;
