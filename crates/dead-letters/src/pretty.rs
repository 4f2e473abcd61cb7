//! Indents JSON and keeps each token: numbers keep their digits and members their order, which a [`serde_json::Value`] would
//! not.

use serde_json::Value;

/// Returns the text with line ends and indentation; `None` if it is not JSON.
pub(super) fn indent_json(text: &str) -> Option<String> {
    // This also rejects deep nesting, which would print mostly indentation.
    serde_json::from_str::<Value>(text).ok()?;
    let mut pretty = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let mut rest = text.trim_ascii();
    while let Some(first) = rest.chars().next() {
        let length = token_length(rest);
        let (token, after) = rest.split_at(length);
        rest = after.trim_ascii_start();
        match first {
            '{' | '[' => {
                pretty.push(first);
                if let Some(after) = rest.strip_prefix(['}', ']']) {
                    pretty.push(if first == '{' { '}' } else { ']' });
                    rest = after.trim_ascii_start();
                } else {
                    depth += 1;
                    start_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                start_line(&mut pretty, depth);
                pretty.push(first);
            }
            ',' => {
                pretty.push(first);
                start_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => pretty.push_str(token),
        }
    }
    Some(pretty)
}

/// Returns the length in bytes of the first token.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes[0] {
        b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
        b'"' => {
            let mut end = 1;
            while bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        }
        _ => text.find(|c: char| ",:]}".contains(c) || c.is_ascii_whitespace()).unwrap_or(text.len()),
    }
}

fn start_line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    pretty.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::indent_json;

    #[test]
    fn each_token_keeps_its_text_and_its_order() {
        let text =
            "\n{\"z\":1.50, \"a\" : 12345678901234567890123 ,\"a\":[ ],\"\\\"}é\":{\"n\":[1,-0.0,1E5,null]},\"o\":{} }";
        let expected = "{\n  \"z\": 1.50,\n  \"a\": 12345678901234567890123,\n  \"a\": [],\n  \"\\\"}é\": {\n    \"n\": \
                        [\n      1,\n      -0.0,\n      1E5,\n      null\n    ]\n  },\n  \"o\": {}\n}";
        assert_eq!(indent_json(text).as_deref(), Some(expected));
        assert_eq!(indent_json(expected).as_deref(), Some(expected));
    }

    #[test]
    fn the_layout_equals_that_of_serde_json() {
        let value = serde_json::json!([1, "a\\\"b", {"x": [[], {}, [{}]], "y": null}, true]);
        assert_eq!(indent_json(&value.to_string()), serde_json::to_string_pretty(&value).ok());
        assert_eq!(indent_json("7").as_deref(), Some("7"));
    }

    #[test]
    fn invalid_json_and_deep_nesting_are_rejected() {
        for text in ["", "{", "{\"a\":1}x", "nul", &("[".repeat(500) + &"]".repeat(500))] {
            assert_eq!(indent_json(text), None);
        }
    }
}
