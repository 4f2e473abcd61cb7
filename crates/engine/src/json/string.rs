//! Strings: where they end, and what in them is no plain text.

use super::{Escapes, Quotes, Raw};

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

/// The string with which the text begins, from its quote on, and the text behind it; `None` when it begins with none.
pub(super) fn string(text: &[u8], quotes: Quotes) -> Option<(Raw<'_>, &[u8])> {
    match quotes {
        Quotes::Plain => plain(text),
        Quotes::Escaped => escaped(text),
    }
}

/// A string between quotes that have backslashes: the next backslash is that of its end.
fn escaped(text: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    const QUOTE: &[u8] = br#"\""#;
    let inner = text.strip_prefix(QUOTE)?;
    let end = QUOTE.len() + inner.iter().position(|byte| *byte == b'\\')? + QUOTE.len();
    let (text, rest) = text.split_at_checked(end)?;
    Some((Raw { text, escapes: Escapes::Outside }, rest))
}

/// So many bytes of a string are looked at one by one, and then so many together.
const NEAR: usize = 32;
const TOGETHER: usize = 64;

fn plain(text: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let (mut escapes, mut is_ascii) = (Escapes::None, true);
    // What is before this ends with a character or an escape, and not within one.
    let mut at = 1;
    loop {
        // Byte by byte, as long as a short string lasts.
        let run = ordinary(&text[at..text.len().min(at + NEAR)]);
        at += run;
        if run < NEAR {
            match text.get(at)? {
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
        }
        if text[at - 1] != b'\\' {
            let seen;
            (at, seen) = far(text, at);
            is_ascii &= !seen.high;
            if seen.backslash && escapes == Escapes::None {
                escapes = Escapes::Quotes;
            }
        }
    }
}

/// Goes on in a string, many bytes at a time, as long as there is nothing special; to a place that is within no escape, as
/// the one where it begins. The byte before that is no backslash.
fn far(text: &[u8], begin: usize) -> (usize, Seen) {
    let mut at = begin;
    let mut all = Seen::default();
    while let (Some(before), Some(bytes)) = (text[at - 1..].first_chunk(), text[at..].first_chunk()) {
        let seen = Seen::in_bytes(before, bytes);
        if seen.special {
            break;
        }
        all.high |= seen.high;
        all.backslash |= seen.backslash;
        at += TOGETHER;
    }
    // Each of the backslashes begins an escape, and so does one at the end.
    let is_within_escape = text[at - 1] == b'\\';
    (at - usize::from(is_within_escape), all)
}

/// What there is in some bytes of a string.
#[derive(Default)]
struct Seen {
    /// A control character, the quote that ends the string, or a backslash before anything but a quote.
    special: bool,
    high: bool,
    /// A backslash, the last of the bytes aside.
    backslash: bool,
}

impl Seen {
    /// Looks at all of them together, which the compiler makes a matter of a few instructions. Before each of them stands
    /// the one of `before` in the same place.
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
