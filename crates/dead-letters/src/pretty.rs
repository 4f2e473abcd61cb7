//! JSON with line ends, each token as it came: numbers keep their digits and members their order, which a
//! [`serde_json::Value`] would not.

use serde_json::Value;

/// The text with line ends and indentation; `None` where it is no JSON.
pub(super) fn pretty(text: &str) -> Option<String> {
    // Also keeps out what is nested so deeply that the indentation would be all that one sees.
    serde_json::from_str::<Value>(text).ok()?;
    let mut pretty = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let mut rest = text.trim_ascii();
    while let Some(first) = rest.chars().next() {
        let length = token(rest);
        let (token, behind) = rest.split_at(length);
        rest = behind.trim_ascii_start();
        match first {
            '{' | '[' => {
                pretty.push(first);
                if let Some(behind) = rest.strip_prefix(['}', ']']) {
                    pretty.push(if first == '{' { '}' } else { ']' });
                    rest = behind.trim_ascii_start();
                } else {
                    depth += 1;
                    line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut pretty, depth);
                pretty.push(first);
            }
            ',' => {
                pretty.push(first);
                line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => pretty.push_str(token),
        }
    }
    Some(pretty)
}

/// How long the first token of this JSON is.
fn token(text: &str) -> usize {
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

fn line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    pretty.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn each_token_stays_as_it_came_in_the_order_in_which_it_came() {
        let text =
            "\n{\"z\":1.50, \"a\" : 12345678901234567890123 ,\"a\":[ ],\"\\\"}é\":{\"n\":[1,-0.0,1E5,null]},\"o\":{} }";
        let expected = "{\n  \"z\": 1.50,\n  \"a\": 12345678901234567890123,\n  \"a\": [],\n  \"\\\"}é\": {\n    \"n\": \
                        [\n      1,\n      -0.0,\n      1E5,\n      null\n    ]\n  },\n  \"o\": {}\n}";
        assert_eq!(pretty(text).as_deref(), Some(expected));
        assert_eq!(pretty(expected).as_deref(), Some(expected));
    }

    #[test]
    fn what_serde_json_writes_with_line_ends_is_written_the_same() {
        let value = serde_json::json!([1, "a\\\"b", {"x": [[], {}, [{}]], "y": null}, true]);
        assert_eq!(pretty(&value.to_string()), serde_json::to_string_pretty(&value).ok());
        assert_eq!(pretty("7").as_deref(), Some("7"));
    }

    #[test]
    fn what_is_no_json_or_nested_beyond_reading_is_left_alone() {
        for text in ["", "{", "{\"a\":1}x", "nul", &("[".repeat(500) + &"]".repeat(500))] {
            assert_eq!(pretty(text), None);
        }
    }
}
