//! How this project writes texts for people and logs: long ones truncated, times in ISO 8601, what a panic said.

/// A text of which only the beginning is told where it is long: some errors repeat what was sent.
#[must_use]
pub fn truncated(text: &str) -> String {
    beginning(text, LONGEST)
}

/// The longest text that is told whole, in characters.
pub(crate) const LONGEST: usize = 1_024;

/// The first so many characters of a text, and an ellipsis if there are more.
pub(crate) fn beginning(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Writes a time in milliseconds since 1970 as the host does: UTC, milliseconds, `Z`.
#[must_use]
pub fn iso8601(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// The message of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
