//! The host's JSON, taken apart without being copied: what is held in it, and where.
//!
//! A request is mostly a few long strings, each of which holds a JSON array, and most of what they hold is never asked
//! for. So a string is looked over once, many bytes at a time, for its end and for what may not be in it, and objects are
//! gone through; arrays and numbers that are not plain digits are left to `serde_json`. Just what `serde_json` takes for
//! JSON is taken for it here, as long as it is UTF-8.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A JSON value as it stands in a text. A string has its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    /// The value's text. It is UTF-8.
    pub(crate) text: &'a [u8],
    escapes: Escapes,
}

/// The escapes in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    /// Each backslash stands before a quote.
    Quotes,
    /// Or it is no string.
    Any,
}

impl<'a> Raw<'a> {
    /// The one value that this text is, white space around it aside.
    pub(crate) fn of(text: &'a [u8]) -> Option<Self> {
        let (raw, rest) = value(without_blanks(text))?;
        ends(rest)?;
        Some(raw)
    }

    /// What stands between the quotes of a string; `None` for another value.
    pub(crate) fn in_quotes(self) -> Option<&'a [u8]> {
        self.text.strip_prefix(b"\"")?.strip_suffix(b"\"")
    }

    /// Whether there may be letters in it that are written by their number, and so are not seen in the text.
    pub(crate) fn may_hide_letters(self) -> bool {
        self.escapes == Escapes::Any && memchr::memchr(b'\\', self.text).is_some()
    }

    /// The text in a string, or any other value as its own text; `None` for a string that says no text, since it has half
    /// of a surrogate pair.
    pub(crate) fn unquoted(self) -> Option<Cow<'a, [u8]>> {
        let Some(inner) = self.in_quotes() else { return Some(Cow::Borrowed(self.text)) };
        match self.escapes {
            Escapes::None => Some(Cow::Borrowed(inner)),
            Escapes::Quotes => Some(Cow::Owned(without_backslashes(inner))),
            Escapes::Any => serde_json::from_slice(self.text).ok().map(|text: String| Cow::Owned(text.into_bytes())),
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
    member: impl FnMut(Cow<'a, [u8]>, &'a [u8]) -> Option<&'a [u8]>,
) -> Option<()> {
    ends(object(without_blanks(text), member)?)
}

/// The members of the object with which the text begins, and the text behind it.
pub(crate) fn members(text: &[u8]) -> Option<(Members<'_>, &[u8])> {
    let mut members = Vec::new();
    let rest = object(text, |name, text| {
        let (member, rest) = value(text)?;
        members.push((name, member));
        Some(rest)
    })?;
    Some((members, rest))
}

/// The elements of the JSON array that this text is; `None` when it is none.
pub(crate) fn elements(text: &[u8]) -> Option<Vec<Raw<'_>>> {
    let mut elements = Vec::new();
    let element = |text| {
        let (element, rest) = value(text)?;
        elements.push(element);
        Some(rest)
    };
    ends(each(without_blanks(text), *b"[]", element)?)?;
    Some(elements)
}

/// As [`each_member`], of the object with which the text begins; gives back the text behind it.
fn object<'a>(text: &'a [u8], mut member: impl FnMut(Cow<'a, [u8]>, &'a [u8]) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    each(text, *b"{}", |text| {
        let (name, rest) = string(text)?;
        member(name.unquoted()?, without_blanks(without_blanks(rest).strip_prefix(b":")?))
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
pub(crate) fn value(text: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    /// Objects in objects so deep are gone into here.
    const DEEPEST: usize = 8;
    if text.first() == Some(&b'"') {
        return string(text);
    }
    let rest = behind_value(text, DEEPEST)?;
    let (text, rest) = text.split_at(text.len() - rest.len());
    Some((Raw { text, escapes: Escapes::Any }, rest))
}

/// The text behind the value with which this text begins.
fn behind_value(text: &[u8], depth: usize) -> Option<&[u8]> {
    match text.first()? {
        b'"' => string(text).map(|(_, rest)| rest),
        b'{' if depth > 0 => object(text, |_, value| behind_value(value, depth - 1)),
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

fn behind_any(text: &[u8]) -> Option<&[u8]> {
    let value: &RawValue = serde_json::Deserializer::from_slice(text).into_iter().next()?.ok()?;
    Some(&text[value.get().len()..])
}

/// Which bytes a string goes on behind: ASCII but for the quote that ends it, the backslash of an escape, and control
/// characters, which it may not have.
const IS_ORDINARY: [bool; 256] = {
    let mut is_ordinary = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        is_ordinary[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    is_ordinary
};

/// How many bytes there are until one has a meaning in a string, or no text is left.
pub(crate) fn ordinary(text: &[u8]) -> usize {
    text.iter().position(|byte| !IS_ORDINARY[usize::from(*byte)]).unwrap_or(text.len())
}

/// So many bytes of a string are looked at one by one, and then so many together.
const NEAR: usize = 32;
const TOGETHER: usize = 64;

/// The string with which the text begins, from its quote on, and the text behind it; `None` when it begins with none.
fn string(text: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let (mut escapes, mut is_ascii) = (Escapes::None, true);
    let mut at = 1;
    loop {
        // Byte by byte, as long as a short string lasts.
        let near = &text[at..text.len().min(at + NEAR)];
        match ordinary(near) {
            NEAR => at += NEAR,
            run if run == near.len() => return None,
            run => {
                at += run;
                match text[at] {
                    b'"' => {
                        let (text, rest) = text.split_at(at + 1);
                        let is_text = is_ascii || str::from_utf8(text).is_ok();
                        return is_text.then_some((Raw { text, escapes }, rest));
                    }
                    b'\\' => {
                        let is_quote = text.get(at + 1) == Some(&b'"');
                        escapes = if is_quote && escapes != Escapes::Any { Escapes::Quotes } else { Escapes::Any };
                        at += escape(&text[at..])?;
                    }
                    0x80.. => {
                        is_ascii = false;
                        at += 1;
                    }
                    _ => return None,
                }
                if text[at - 1] == b'\\' {
                    continue;
                }
            }
        }
        // The byte before is no backslash; of those in between, each begins an escape.
        while let (Some(before), Some(bytes)) = (text[at - 1..].first_chunk(), text[at..].first_chunk()) {
            let seen = Seen::in_bytes(before, bytes);
            if seen.special {
                break;
            }
            is_ascii &= !seen.high;
            if seen.backslash && escapes == Escapes::None {
                escapes = Escapes::Quotes;
            }
            at += TOGETHER;
        }
        if text[at - 1] == b'\\' {
            at -= 1;
        }
    }
}

/// What there is in some bytes of a string.
struct Seen {
    /// A control character, the quote that ends the string, or a backslash before anything but a quote.
    special: bool,
    high: bool,
    backslash: bool,
}

impl Seen {
    /// Looks at all of them together, which the compiler makes a matter of a few instructions.
    fn in_bytes(before: &[u8; TOGETHER], bytes: &[u8; TOGETHER]) -> Self {
        let (mut special, mut high, mut backslash) = (0, 0, 0);
        for (before, byte) in before.iter().zip(bytes) {
            let is_escaped = u8::from(*before == b'\\');
            special |= (u8::from(*byte == b'"') ^ is_escaped) | u8::from(*byte < b' ');
            high |= byte;
            backslash |= is_escaped;
        }
        Self { special: special != 0, high: high >= 0x80, backslash: backslash != 0 }
    }
}

/// The length of the escape with which the text begins.
fn escape(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => text.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
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
mod tests {
    use super::*;

    /// What `serde_json` finds in the text, which is to be found here as well.
    fn assert_as_serde_json(text: &[u8]) {
        let expected: Option<&RawValue> = serde_json::from_slice(text).ok();
        let found = Raw::of(text);
        let shown = String::from_utf8_lossy(text);
        assert_eq!(found.map(|raw| raw.text), expected.map(|raw| raw.get().as_bytes()), "{shown}");
        let Some(raw) = found else { return };
        let unquoted: Option<String> = serde_json::from_slice(raw.text).ok();
        if raw.in_quotes().is_some() {
            assert_eq!(raw.unquoted().as_deref(), unquoted.as_deref().map(str::as_bytes), "{shown}");
        }
    }

    #[test]
    fn a_string_ends_where_it_ends_wherever_its_escapes_and_bad_bytes_are() {
        for part in
            [&b"\\\""[..], b"\\\\", b"\\\\\\\"", b"\\n", b"\\u00e4", b"\\ud800", b"\\q", b"\\u12", "\u{e4}".as_bytes()]
        {
            for around in [0, 1, 29, 30, 31, 32, 33, 62, 63, 64, 65, 96] {
                for behind in [0, 1, 31, 32, 64] {
                    let text = [b"\"", "x".repeat(around).as_bytes(), part, "y".repeat(behind).as_bytes()].concat();
                    assert_as_serde_json(&text);
                    assert_as_serde_json(&[&text, &b"\""[..]].concat());
                    assert_as_serde_json(&[&text, &b"\\\"\\\" \""[..]].concat());
                    assert_as_serde_json(&[&text, &b"\" \""[..]].concat());
                    for bad in [b"\n", b"\x7f", b"\xff", b"\0", b"\x1f"] {
                        assert_as_serde_json(&[&text, &bad[..], b"\""].concat());
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_is_one_to_serde_json_too() {
        for text in [
            "",
            " ",
            "1",
            "01",
            "-1",
            "-",
            "10",
            "1.5",
            "1.",
            "1e5",
            "12a",
            "true",
            "tru",
            "null",
            "{}",
            "[1,2]",
            "[1,]",
            "{\"a\":1}",
            "{\"a\" 1}",
            " \t\r\n7 \n",
            "\u{c}7",
            "7\u{c}",
            "\"a\"b",
            "\"a\" \"b\"",
            "1 2",
            "[\"\\\"]\"]",
        ] {
            assert_as_serde_json(text.as_bytes());
        }
    }

    #[test]
    fn a_text_may_end_anywhere() {
        let text = format!(r#"{{"a\"b" : [1, "x"], "c":{{"d":null,"e":"{}\n"}} , "f":12}}"#, "y".repeat(200));
        assert_as_serde_json(text.as_bytes());
        assert!(members(text.as_bytes()).is_some());
        for end in 0..text.len() {
            assert_as_serde_json(&text.as_bytes()[..end]);
            assert!(members(&text.as_bytes()[..end]).is_none() && elements(&text.as_bytes()[..end]).is_none(), "{end}");
        }
    }

    #[test]
    fn members_and_elements_are_those_of_serde_json() {
        for text in ["[]", "[ ]", "[1 , \"a\" ,{}]", "[,1]", "[1,]", "[1", "[1]]", "[1] 2", "{}", "[1 2]", "[01]"] {
            let expected: Option<Vec<&RawValue>> = serde_json::from_str(text).ok();
            let found = elements(text.as_bytes()).map(|all| all.iter().map(|raw| raw.text).collect::<Vec<_>>());
            assert_eq!(found, expected.map(|all| all.iter().map(|raw| raw.get().as_bytes()).collect()), "{text}");
        }
        for text in
            ["{}", "{ }", "{\"a\":1,\"\\u0062\" : [] }", "{\"a\"}", "{\"a\":1,}", "{a:1}", "{\"a\":1}}", "[]", "{1:2}"]
        {
            let expected: Option<std::collections::BTreeMap<String, &RawValue>> = serde_json::from_str(text).ok();
            let found = members(text.as_bytes()).filter(|(_, rest)| rest.is_empty()).map(|(members, _)| members);
            let found: Option<Vec<_>> =
                found.as_ref().map(|all| all.iter().map(|(name, raw)| (&**name, raw.text)).collect());
            let expected: Option<Vec<_>> = expected
                .as_ref()
                .map(|all| all.iter().map(|(name, raw)| (name.as_bytes(), raw.get().as_bytes())).collect());
            assert_eq!(found, expected, "{text}");
        }
    }
}
