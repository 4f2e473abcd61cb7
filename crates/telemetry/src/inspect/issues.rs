//! Which issues are the same but for the values that they quote.

/// What is before a value or a number that another record may have otherwise.
const MARKERS: [&str; 7] =
    ["found ", "the record is ", "line ", "column ", "element ", "names the device ", "the device id "];

/// Returns an issue without the values that it quotes, so that issues of the same kind are equal.
#[must_use]
pub fn without_values(issue: &str) -> String {
    let mut rest = issue;
    let mut text = String::with_capacity(issue.len());
    while let Some((start, marker)) = MARKERS.iter().filter_map(|marker| Some((rest.find(marker)?, marker))).min() {
        let (before, value) = rest.split_at(start + marker.len());
        text.push_str(before);
        rest = &value[value_bytes(value)..];
    }
    text + rest
}

/// Returns the length of the quoted text, the number or the boolean that a text begins with, or 0.
fn value_bytes(text: &str) -> usize {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut is_escaped = false;
        let end = quoted.bytes().position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        return end.map_or(0, |end| end + 2);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.')).unwrap_or(text.len());
    let word = text[..end].trim_end_matches('.');
    if word.parse::<f64>().is_ok() || matches!(word, "true" | "false") { word.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn values_are_taken_out_of_an_issue() {
        for (issue, expected) in [
            (
                r#"the reading "t" at /t must be a number, found "a\"b\\""#,
                r#"the reading "t" at /t must be a number, found "#,
            ),
            ("found 1.5e3 at /a, nothing at /b, found true.", "found  at /a, nothing at /b, found ."),
            ("line 2 of the body is not valid", "line  of the body is not valid"),
            ("must be an array, found an object", "must be an array, found an object"),
            ("expected value at line 3 column 14", "expected value at line  column "),
            ("element 7 of /m must have its name", "element  of /m must have its name"),
            (r#"the device id "a" at /id has 2000 bytes"#, "the device id  at /id has 2000 bytes"),
            ("found \"", "found \""),
            ("", ""),
        ] {
            assert_eq!(without_values(issue), expected);
        }
    }
}
