//! Reads the text of a JSON file as the Functions host does. Its parser, Json.NET, accepts more than the standard.

use serde_json::Value;

/// Parses a file in UTF-8 or, with a byte order mark, UTF-16. Comments and trailing commas are skipped; strings may have
/// single quotes and line breaks, and names need no quotes.
pub(super) fn parse(file: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_str(&to_standard_json(&decode(file)))
}

/// Returns the text of a file without its byte order mark. Like the host, it replaces invalid bytes.
fn decode(file: &[u8]) -> String {
    let utf16 = |bytes: &[u8], to_unit: fn([u8; 2]) -> u16| {
        let unit = |pair: &[u8]| pair.try_into().map_or(u16::MAX, to_unit);
        String::from_utf16_lossy(&bytes.chunks(2).map(unit).collect::<Vec<_>>())
    };
    match file {
        [0xFF, 0xFE, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xFE, 0xFF, text @ ..] => utf16(text, u16::from_be_bytes),
        text => String::from_utf8_lossy(text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)).into_owned(),
    }
}

/// Returns the same JSON in the form of the standard. Lines stay the same, so that an error names the right one.
fn to_standard_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let comment = comment_length(rest);
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let length = if comment > 0 { comment } else { word.max(next.len_utf8()) };
        let (token, after) = rest.split_at(length);
        rest = after;
        if comment > 0 {
            json.extend(token.chars().filter(|c| *c == '\n'));
        } else if word > 0 && skip_blanks(rest).starts_with(':') {
            json.extend(["\"", token, "\""]);
        } else if next == '"' || next == '\'' {
            rest = copy_string(next, rest, &mut json);
        } else if next != ',' || !skip_blanks(rest).starts_with([']', '}']) {
            json.push_str(token);
        }
    }
    json
}

/// Appends a string in double quotes. `text` is what follows the opening quote; returns what follows the closing one.
fn copy_string<'a>(quote: char, text: &'a str, json: &mut String) -> &'a str {
    json.push('"');
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            _ if next == quote => {
                json.push('"');
                break;
            }
            '\\' => match chars.next() {
                Some('\'') => json.push('\''),
                escaped => {
                    json.push('\\');
                    json.extend(escaped);
                }
            },
            '"' => json.push_str("\\\""),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            other => json.push(other),
        }
    }
    chars.as_str()
}

/// Returns the length of the comment at the beginning of this text, 0 without one.
fn comment_length(text: &str) -> usize {
    if text.starts_with("//") {
        text.find(['\n', '\r']).unwrap_or(text.len())
    } else if text.starts_with("/*") {
        text.find("*/").map_or(0, |end| end + 2)
    } else {
        0
    }
}

/// Returns the text after the blanks and comments at its beginning.
fn skip_blanks(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match comment_length(text) {
            0 => return text,
            length => text = &text[length..],
        }
    }
}

/// Returns true for a character of a name without quotes, of a number or of `true`, `false` and `null`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_parser_of_the_host_accepts_is_read() {
        for (text, expected) in [
            ("\u{feff}{}", json!({})),
            ("// a\n{ /* { */ \"a\": 1, /**/ } // }", json!({"a": 1})),
            (
                "{\"a\": [1, 2,\n], 'b': 'it\\'s \"b\"', $c_1: null,}",
                json!({"a": [1, 2], "b": "it's \"b\"", "$c_1": null}),
            ),
            ("{a/* x */:-1.5e+3}", json!({"a": -1500.0})),
            (r#"{"a":"// no, /* comment */","b\"":"\\"}"#, json!({"a": "// no, /* comment */", "b\"": "\\"})),
            ("{\"a\":\"two\nlines\tand a tab\"}", json!({"a": "two\nlines\tand a tab"})),
            ("{\"\u{e4}\":\"\u{1f681}\",\u{e4}\u{e4}:true}", json!({"\u{e4}": "\u{1f681}", "\u{e4}\u{e4}": true})),
        ] {
            assert_eq!(parse(text.as_bytes()).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn any_other_text_is_rejected_with_its_line() {
        for text in
            ["", "{", "{\"a\"", "{\"a", "{'a\\", "/* {}", "{} {}", "{\"a\" 1}", "{a b: 1}", "/", "*/{}", "{\"a\": b}"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let error = parse(b"{\n/* two\nlines */\n  \"a\": b // c\n}").expect_err("`b` is not a value");
        assert_eq!(error.line(), 4);
    }

    #[test]
    fn a_byte_order_mark_selects_the_encoding() {
        for file in [&b"\xEF\xBB\xBF[1]"[..], b"\xFF\xFE[\x001\x00]\x00", b"\xFE\xFF\x00[\x001\x00]"] {
            assert_eq!(parse(file).expect("JSON"), json!([1]), "{file:?}");
        }
        assert!(parse(b"\xFF\xFE[\x00]").is_err());
        assert_eq!(parse(b"[\"\xFF\"]").expect("JSON"), json!(["\u{fffd}"]));
    }
}
