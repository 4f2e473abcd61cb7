//! The reply out: what the host understands, and nothing else.
//!
//! Outputs stand under the exact binding name, as an array of strings: the one form that the queue binding passes on
//! verbatim. `Logs` is an array of strings. The body is never empty, since the host would wait for ever.

/// The body of a 2xx reply.
#[derive(Debug)]
pub struct Reply<'a> {
    outputs: Option<(&'a str, &'a [String])>,
    logs: &'a [String],
}

impl<'a> Reply<'a> {
    /// A reply with these messages for the queue binding of this name, and these lines for the host's log.
    #[must_use]
    pub fn new(binding: &'a str, messages: &'a [String], logs: &'a [String]) -> Self {
        Self { outputs: Some((binding, messages)), logs }
    }

    /// A reply of a function that has no output, with these lines for the host's log.
    #[must_use]
    pub fn of_logs(logs: &'a [String]) -> Self {
        Self { outputs: None, logs }
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (binding, messages) = self.outputs.unwrap_or_default();
        let texts = messages.iter().chain(self.logs);
        // Messages and lines are JSON, in which about every eighth character has to be escaped.
        let mut json = String::with_capacity(texts.map(|text| text.len() + text.len() / 4 + 4).sum::<usize>() + 256);
        json.push_str(r#"{"Outputs":{"#);
        if self.outputs.is_some() {
            push_string(&mut json, binding);
            json.push(':');
            push_strings(&mut json, messages);
        }
        json.push_str(r#"},"Logs":"#);
        push_strings(&mut json, self.logs);
        json.push_str(r#","ReturnValue":null}"#);
        json
    }
}

fn push_strings(json: &mut String, texts: &[String]) {
    json.push('[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_string(json, text);
    }
    json.push(']');
}

/// A text as a JSON string.
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[from..at]);
        if byte < b' ' {
            let escaped = serde_json::Value::from(&text[at..=at]).to_string();
            json.push_str(escaped.trim_matches('"'));
        } else {
            json.push('\\');
            json.push(char::from(byte));
        }
        from = at + 1;
    }
    json.push_str(&text[from..]);
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_json_whatever_its_texts_are() {
        let mut texts: Vec<_> = (0..0x250).filter_map(char::from_u32).map(|c| format!("a{c}{c}b")).collect();
        texts.extend([String::new(), r#"{"a":"\"\\"}"#.to_owned(), "\u{1f681}\u{2028}".to_owned()]);
        let reply = Reply::new("name \"of\" it\n", &texts, &texts[1..]).to_json();
        let expected = serde_json::json!({
            "Outputs": { "name \"of\" it\n": texts }, "Logs": texts[1..], "ReturnValue": null
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&reply).expect("JSON"), expected);
        assert_eq!(Reply::of_logs(&[]).to_json(), r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#);
    }
}
