//! Scans JSON strings for their end and their escapes.

use super::{Escapes, Quotes, Raw};

/// The bytes without a special meaning in a string: ASCII except the quote, the backslash and control characters.
const IS_ORDINARY: [bool; 256] = {
    let mut is_ordinary = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        is_ordinary[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    is_ordinary
};

/// Returns the number of bytes before the first one with a special meaning in a string, or before the end of the text.
pub(crate) fn ordinary_len(text: &[u8]) -> usize {
    text.iter().position(|byte| !IS_ORDINARY[usize::from(*byte)]).unwrap_or(text.len())
}

/// Parses the string at the start of the text; returns it with its quotes, and the rest. `None` if there is no valid one.
pub(super) fn parse_string(text: &[u8], quotes: Quotes) -> Option<(Raw<'_>, &[u8])> {
    match quotes {
        Quotes::Plain => parse_plain(text),
        Quotes::Escaped => parse_escaped(text),
    }
}

/// Parses a string between escaped quotes: the next backslash is that of its end.
fn parse_escaped(text: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    const QUOTE: &[u8] = br#"\""#;
    let inner = text.strip_prefix(QUOTE)?;
    let end = QUOTE.len() + inner.iter().position(|byte| *byte == b'\\')? + QUOTE.len();
    let (text, rest) = text.split_at_checked(end)?;
    Some((Raw { text, escapes: Escapes::OwnQuotes }, rest))
}

/// The number of bytes that are scanned one by one before the scan continues in chunks.
const BYTEWISE_BYTES: usize = 32;
/// The number of bytes that are scanned together.
const CHUNK_BYTES: usize = 64;

/// Parses a string between plain quotes.
fn parse_plain(text: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let (mut escapes, mut is_ascii) = (Escapes::None, true);
    // Invariant: `at` is never inside a character or an escape.
    let mut at = 1;
    loop {
        // Short strings end within the bytes that are scanned one by one.
        let run = ordinary_len(&text[at..text.len().min(at + BYTEWISE_BYTES)]);
        at += run;
        if run < BYTEWISE_BYTES {
            match text.get(at)? {
                b'"' => {
                    let (text, rest) = text.split_at(at + 1);
                    let is_text = is_ascii || str::from_utf8(text).is_ok();
                    return is_text.then_some((Raw { text, escapes }, rest));
                }
                b'\\' => {
                    let is_quote = text.get(at + 1) == Some(&b'"');
                    escapes = if is_quote && escapes != Escapes::Any { Escapes::Quotes } else { Escapes::Any };
                    at += escape_len(&text[at..])?;
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
            (at, seen) = skip_chunks(text, at);
            is_ascii &= !seen.high;
            if seen.backslash && escapes == Escapes::None {
                escapes = Escapes::Quotes;
            }
        }
    }
}

/// Skips chunks of a string that contain nothing special. Returns an index that is not inside an escape, and what the
/// skipped chunks contain. The byte before `begin` must not be a backslash.
fn skip_chunks(text: &[u8], begin: usize) -> (usize, Seen) {
    let mut at = begin;
    let mut all = Seen::default();
    while let (Some(before), Some(bytes)) = (text[at - 1..].first_chunk(), text[at..].first_chunk()) {
        let seen = Seen::in_bytes(before, bytes);
        if seen.special {
            break;
        }
        all.high |= seen.high;
        all.backslash |= seen.backslash;
        at += CHUNK_BYTES;
    }
    // Each backslash in the skipped chunks starts an escape. If one is the last byte, the index goes before it.
    let is_within_escape = text[at - 1] == b'\\';
    (at - usize::from(is_within_escape), all)
}

/// The kinds of bytes in a part of a string.
#[derive(Default)]
struct Seen {
    /// A control character, the quote that ends the string, or a backslash before anything but a quote.
    special: bool,
    /// A byte that is not ASCII.
    high: bool,
    /// A backslash, except as the last byte.
    backslash: bool,
}

impl Seen {
    /// Classifies all bytes together, which the compiler vectorizes. `before` contains the byte before each byte.
    fn in_bytes(before: &[u8; CHUNK_BYTES], bytes: &[u8; CHUNK_BYTES]) -> Self {
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

/// Returns the length of the escape at the start of the text; `None` if it is invalid.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => text.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}
