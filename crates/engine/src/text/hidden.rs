//! Characters that a reader does not see: they control a terminal, change the direction of text, or make two different names
//! look the same. Devices and queue messages may contain any of them, and no output may.

use std::{borrow::Cow, fmt::Write as _};

/// Returns true for control characters, line and paragraph separators, and the characters that Unicode lets a terminal ignore
/// (`Default_Ignorable_Code_Point`: soft hyphens, zero-width characters, direction marks, variation selectors, tags) or treats
/// as annotations.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Returns true if a text may contain hidden characters. Nearly every text has only visible ASCII, which this finds quickly.
fn may_have_hidden(text: &str) -> bool {
    !text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Returns the position of the first hidden character.
pub(crate) fn find_hidden(text: &str) -> Option<usize> {
    if may_have_hidden(text) { text.find(is_hidden) } else { None }
}

/// Returns a text for a terminal: each hidden character becomes U+FFFD, except line ends and tabs.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_replaced = |c: char| is_hidden(c) && c != '\n' && c != '\t';
    if !may_have_hidden(text) || !text.contains(is_replaced) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_replaced(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// Returns JSON in which each hidden character is a `\u` escape, so that it is the same JSON. Line ends and tabs between tokens
/// stay; a carriage return becomes a space.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    if !may_have_hidden(json) || !json.contains(|c| is_hidden(c) && c != '\n' && c != '\t') {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + json.len() / 8);
    for c in json.chars() {
        match c {
            // JSON allows them only between tokens.
            '\n' | '\t' => escaped.push(c),
            '\r' => escaped.push(' '),
            _ if is_hidden(c) => push_escape(&mut escaped, c),
            _ => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Appends a character as JSON escapes: one, or two for a pair of surrogates.
pub(crate) fn push_escape(text: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(text, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns every character that is not a surrogate.
    fn all() -> impl Iterator<Item = char> {
        ('\0'..=char::MAX).filter(|c| *c != '"' && *c != '\\')
    }

    #[test]
    fn control_direction_and_invisible_characters_are_hidden_and_letters_are_not() {
        let hidden = "\u{0}\u{7}\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\
                      \u{2028}\u{202e}\u{2060}\u{2064}\u{2066}\u{2069}\u{3164}\u{feff}\u{e0001}\u{e007f}";
        assert_eq!(hidden.chars().find(|c| !is_hidden(*c)), None);
        let shown = " az~\u{a0}\u{e9}\u{4e2d}\u{5d0}\u{645}\u{301}\u{1f681}\u{fffd}";
        assert_eq!(shown.chars().find(|c| is_hidden(*c)), None);
    }

    #[test]
    fn no_hidden_character_is_left_in_a_text_and_a_clean_text_is_unchanged() {
        let text: String = all().collect();
        let cleaned = clean(&text);
        assert_eq!(cleaned.chars().count(), text.chars().count());
        assert!(!cleaned.contains(|c| is_hidden(c) && c != '\n' && c != '\t'));
        assert_eq!(clean(&cleaned), cleaned);
        assert!(matches!(clean("plain \u{e4}\n\ttext"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_is_the_same_json_without_hidden_characters() {
        let value = json!({ "text": all().collect::<String>(), "\u{9b}\u{e0001}": ["\u{7f}", null] });
        for json in
            [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON"), format!("[\r\n\t{value}\r]")]
        {
            let escaped = escape_json(&json);
            assert!(!escaped.contains(|c| is_hidden(c) && c != '\n' && c != '\t'));
            let parse = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
            assert_eq!(parse(&escaped), parse(&json));
        }
        assert_eq!(escape_json("\"\u{9b}\u{e0001}\""), r#""\u009b\udb40\udc01""#);
    }
}
