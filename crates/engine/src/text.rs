//! Texts for errors and logs: truncated texts, times in ISO 8601, the messages of errors and panics, and texts without hidden
//! characters.

mod hidden;

use std::{error::Error, io};

pub use hidden::{clean, escape_json, is_hidden};
pub(crate) use hidden::{find_hidden, push_escape};

/// Returns a text of at most 1,024 characters: the text, or its beginning and an ellipsis. Some errors repeat the input.
#[must_use]
pub fn truncated(text: &str) -> String {
    first_chars(text, MAX_TEXT_CHARS)
}

/// The longest text that is not truncated, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 1_024;

/// Returns the first `characters` characters of a text, and an ellipsis if there are more.
#[must_use]
pub fn first_chars(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Formats a time in milliseconds since 1970 as the host does: UTC, with milliseconds and `Z`.
#[must_use]
pub fn iso8601(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// Returns the milliseconds since 1970 of a time in RFC 3339; `None` if the text is not one.
#[must_use]
pub fn time_ms(text: &str) -> Option<i64> {
    text.parse().ok().map(jiff::Timestamp::as_millisecond)
}

/// Returns the message of an error. The code that an error of the operating system ends with, such as `os error 2`, is removed.
#[must_use]
pub fn error_message(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error)
        && let Some(reason) = text.strip_suffix(&format!(" (os error {code})"))
    {
        text = reason.to_owned();
    }
    text
}

/// Returns the message of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_message_has_no_code_of_the_operating_system() {
        let missing = std::fs::File::open("/no/such/file").expect_err("it does not exist");
        assert_eq!(error_message(&missing), "No such file or directory");
        assert_eq!(error_message(&io::Error::other("anything else")), "anything else");
    }
}
