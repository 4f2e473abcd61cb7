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
    let end = QUOTE.len() + memchr::memchr(b'\\', inner)? + QUOTE.len();
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
            let skipped = ordinary_chunks(text, at);
            is_ascii &= skipped.is_ascii();
            if escapes == Escapes::None && memchr::memchr(b'\\', skipped).is_some() {
                escapes = Escapes::Quotes;
            }
            at += skipped.len();
        }
    }
}

/// Returns the text from `begin` on, in chunks, that has nothing special but escaped quotes. It does not end within an escape.
/// The byte before `begin` must not be a backslash.
fn ordinary_chunks(text: &[u8], begin: usize) -> &[u8] {
    let (chunks, _) = text[begin..].as_chunks::<CHUNK_BYTES>();
    let (chunks_before, _) = text[begin - 1..].as_chunks();
    let count = chunks_before.iter().zip(chunks).take_while(|(before, bytes)| !has_special(before, bytes)).count();
    let skipped = chunks[..count].as_flattened();
    // Each backslash in it starts an escape, which may end after it.
    skipped.strip_suffix(b"\\").unwrap_or(skipped)
}

/// Returns true if a byte is a control character, the quote that ends the string, or after a backslash and not a quote. All bytes are
/// examined together, which the compiler vectorizes. `before` contains the byte before each byte.
fn has_special(before: &[u8; CHUNK_BYTES], bytes: &[u8; CHUNK_BYTES]) -> bool {
    let mut special = 0;
    for (before, byte) in before.iter().zip(bytes) {
        special |= (u8::from(*byte == b'"') ^ u8::from(*before == b'\\')) | u8::from(*byte < b' ');
    }
    special != 0
}

/// Returns the length of the escape at the start of the text; `None` if it is invalid.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => text.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}
