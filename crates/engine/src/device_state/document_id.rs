//! The id of a device's document, from which the device id can be read back.

use std::{borrow::Cow, fmt::Write as _};

/// Cosmos DB's limit for an id, in bytes.
pub const MAX_ID_BYTES: usize = 1023;

/// The escape character of a document id, before the two hexadecimal digits of a byte.
const ESCAPE: char = '~';

/// Returns the document id of a device: the device id in which each byte that is not safe in the id of a document is
/// written as `~` and two hexadecimal digits.
///
/// Safe are the letters and digits of ASCII, `,=.:+-@()^${}[]!_`, and blanks, but not the first or last one; the ids `.` and
/// `..` are escaped completely. These are the characters with which all of Microsoft's own tests of Cosmos DB find an item
/// again: those of the clients for .NET, Java, Go and JavaScript (`CosmosItemIdEncodingTest`, `TestItemIdEncodingRoutingGW`).
/// With a key, the gateway of an account answers 401 to requests for an item whose id ends with a blank or contains `%` and
/// two digits, and 400 for control characters. With other letters than those of ASCII the client for Java is answered
/// 401. So none of them gets into an id, and `%` is not the escape character.
///
/// No two devices share a document: [`device_id`] is the inverse.
///
/// ```
/// use devicestate_engine::device_state::{device_id, document_id};
///
/// assert_eq!(document_id("drone-7"), "drone-7");
/// assert_eq!(document_id("hall#4 "), "hall~234~20");
/// assert_eq!(device_id("hall~234~20"), "hall#4 ");
/// ```
#[must_use]
pub fn document_id(device_id: &str) -> Cow<'_, str> {
    let is_dots = matches!(device_id, "." | "..");
    let last = device_id.len().saturating_sub(1);
    let is_escaped = |index: usize, byte: u8| match byte {
        b'.' => is_dots,
        b' ' => index == 0 || index == last,
        _ => !byte.is_ascii_alphanumeric() && !b",=:+-@()^${}[]!_".contains(&byte),
    };
    if !device_id.bytes().enumerate().any(|(index, byte)| is_escaped(index, byte)) {
        return Cow::Borrowed(device_id);
    }
    let mut id = String::with_capacity(device_id.len() + 8);
    for (index, byte) in device_id.bytes().enumerate() {
        if is_escaped(index, byte) {
            let _ = write!(id, "{ESCAPE}{byte:02X}");
        } else {
            id.push(char::from(byte));
        }
    }
    Cow::Owned(id)
}

/// Returns the device id of a document: the inverse of [`document_id`]. An id that is not of its form, because another
/// program created the document, is returned unchanged.
#[must_use]
pub fn device_id(document_id: &str) -> Cow<'_, str> {
    match unescaped(document_id) {
        Some(device_id) if self::document_id(&device_id) == document_id => Cow::Owned(device_id),
        _ => Cow::Borrowed(document_id),
    }
}

fn unescaped(document_id: &str) -> Option<String> {
    let mut parts = document_id.split(ESCAPE);
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped_and_others_stay() {
        for (device, id) in [
            ("drone-7", "drone-7"),
            ("a/b\\c?d#e%f", "a~2Fb~5Cc~3Fd~23e~25f"),
            ("hall~4", "hall~7E4"),
            ("höhe 7", "h~C3~B6he 7"),
            ("a\tb\r\nc\u{85}", "a~09b~0D~0Ac~C2~85"),
            (" drone  7 ", "~20drone  7~20"),
            ("  ", "~20~20"),
            (" ", "~20"),
            (".", "~2E"),
            ("..", "~2E~2E"),
            ("...v1.2", "...v1.2"),
            ("With,=.:+-@()^${}[]!_Chars", "With,=.:+-@()^${}[]!_Chars"),
            ("'*'", "~27~2A~27"),
            ("", ""),
        ] {
            assert_eq!(document_id(device), id);
            assert_eq!(device_id(id), device);
        }
    }

    #[test]
    fn the_id_of_another_programs_document_is_its_device_id() {
        for id in ["a%2Fb", "~", "~2", "~zz", "~+1", "~2f", "~41", "~FF", "drone~", "ü", " a"] {
            assert_eq!(device_id(id), id);
        }
    }
}
