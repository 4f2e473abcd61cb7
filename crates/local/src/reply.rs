//! Reads a reply as the Functions host does: which replies fail the invocation, and which outputs become queue messages.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{
    function_app::{MessageEncoding, RETURN_VALUE},
    text::truncated,
};
use serde::Deserialize;
use serde_json::Value;

/// The content of a successful reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Messages for the queue binding, before encoding.
    pub messages: Vec<Vec<u8>>,
    /// Lines for the function's log.
    pub logs: Vec<String>,
}

/// Why a reply does not complete the invocation.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The invocation failed.
    Failed(String),
    /// The host does not accept the reply and waits until `functionTimeout`.
    Hangs,
}

/// Reads a reply by the host's rules.
///
/// # Errors
///
/// [`ReplyError`] if the invocation did not succeed. The host then uses nothing of the reply.
pub fn read(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
    binding: &str,
    encoding: MessageEncoding,
) -> Result<Accepted, ReplyError> {
    let failed = |reason: String| Err(ReplyError::Failed(reason));
    if !(200..300).contains(&status) {
        return failed(format!("the handler answered {status}: {}", error_text(body)));
    }
    if status == 204 || body.trim_ascii().is_empty() || body.trim_ascii() == b"null" {
        return Err(ReplyError::Hangs);
    }
    if !content_type.is_some_and(|kind| kind.trim_start().starts_with("application/json")) {
        return failed(format!("the reply's Content-Type is {content_type:?}, not application/json"));
    }
    let reply: Value = match serde_json::from_slice(body) {
        Ok(reply) => reply,
        Err(error) => return failed(format!("the reply is not JSON: {error}")),
    };
    if !reply.is_object() || !(reply["Outputs"].is_null() || reply["Outputs"].is_object()) {
        return failed("the reply and its Outputs must be JSON objects".into());
    }
    let logs = match &reply["Logs"] {
        Value::Null => Vec::new(),
        Value::Array(lines) => match lines.iter().map(|line| line.as_str().map(str::to_owned)).collect() {
            Some(lines) => lines,
            None => return failed("the reply's Logs must be an array of strings".into()),
        },
        _ => return failed("the reply's Logs must be an array of strings".into()),
    };
    let messages = to_messages(output(&reply, binding)).map_err(ReplyError::Failed)?;
    let limit = match encoding {
        MessageEncoding::Base64 => 49_152,
        MessageEncoding::None => 65_536,
    };
    match messages.iter().find(|message| message.len() > limit) {
        Some(message) => failed(format!("a queue message has {} bytes; the limit is {limit}", message.len())),
        None => Ok(Accepted { messages, logs }),
    }
}

/// Returns the value of an output binding. The host drops other names in `Outputs` without an error.
fn output<'a>(reply: &'a Value, binding: &str) -> &'a Value {
    let returned = &reply["ReturnValue"];
    // A returned object has outputs by name, which replace those of `Outputs`.
    match returned.get(binding) {
        _ if binding == RETURN_VALUE => returned,
        Some(value) => value,
        None => &reply["Outputs"][binding],
    }
}

/// Returns the error text of an answer: its member `error`, or the entire body. The host itself ignores both.
fn error_text(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }

    let error = serde_json::from_slice(body).map(|Answer { error }| error);
    error.unwrap_or_else(|_| truncated(&String::from_utf8_lossy(body)))
}

/// Converts an output as the queue binding does.
fn to_messages(output: &Value) -> Result<Vec<Vec<u8>>, String> {
    match output {
        Value::Null => Ok(Vec::new()),
        Value::Array(elements) => Ok(elements.iter().map(to_message).collect()),
        Value::String(text) => messages_from_string(text),
        other => Ok(vec![to_message(other)]),
    }
}

/// Converts an element of an array: a string is used verbatim, any other value is serialized again.
fn to_message(element: &Value) -> Vec<u8> {
    match element {
        Value::String(text) => text.clone().into_bytes(),
        other => serde_json::to_vec_pretty(other).unwrap_or_default(),
    }
}

/// Converts a single string, whose format the host guesses.
fn messages_from_string(text: &str) -> Result<Vec<Vec<u8>>, String> {
    if let Ok(bytes) = BASE64.decode(text) {
        return Ok(vec![bytes]);
    }
    match text.trim_start().chars().next() {
        Some('[') => match serde_json::from_str::<Vec<Value>>(text) {
            Ok(elements) => Ok(elements.iter().map(to_message).collect()),
            Err(error) => Err(format!("an output that starts with [ is not a JSON array: {error}")),
        },
        Some('{') if serde_json::from_str::<Value>(text).is_err() => {
            Err("an output that starts with { is not a JSON object".into())
        }
        _ => Ok(vec![text.as_bytes().to_vec()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_output(output: &Value) -> Result<Vec<String>, ReplyError> {
        let body = json!({ "Outputs": { "q": output } }).to_string();
        let accepted = read(200, Some("application/json"), body.as_bytes(), "q", MessageEncoding::Base64)?;
        Ok(accepted.messages.into_iter().map(|message| String::from_utf8(message).expect("text")).collect())
    }

    #[test]
    fn an_array_of_strings_is_used_verbatim_and_other_outputs_are_converted() {
        let pretty = "{\n  \"a\": 1\n}".to_owned();
        for (output, messages) in [
            (json!(["{\"a\":1}", "{\"b\":2}"]), vec!["{\"a\":1}".to_owned(), "{\"b\":2}".to_owned()]),
            (json!(["eyJh"]), vec!["eyJh".to_owned()]),
            (json!([{"a": 1}]), vec![pretty.clone()]),
            (json!({"a": 1}), vec![pretty]),
            (json!("eyJhIjoxfQ=="), vec!["{\"a\":1}".to_owned()]),
            (json!("[\"x\",\"y\"]"), vec!["x".to_owned(), "y".to_owned()]),
            (json!([]), vec![]),
            (Value::Null, vec![]),
        ] {
            assert_eq!(read_output(&output).as_ref(), Ok(&messages), "{output}");
        }
        assert!(matches!(read_output(&json!("{not json}")), Err(ReplyError::Failed(_))));
    }

    #[test]
    fn the_return_value_is_the_output_of_the_binding_of_that_name_or_has_outputs_by_name() {
        let read = |binding: &str, reply: Value| {
            let body = reply.to_string();
            let accepted = read(200, Some("application/json"), body.as_bytes(), binding, MessageEncoding::Base64);
            let text = |message| String::from_utf8(message).expect("text");
            accepted.expect("a valid reply").messages.into_iter().map(text).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(read("$return", json!({ "ReturnValue": ["a", "b"] })), ["a", "b"]);
        assert_eq!(read("$return", json!({ "Outputs": { "$return": ["lost"] }, "ReturnValue": null })), none);
        assert_eq!(read("q", json!({ "Outputs": { "q": ["a"] }, "ReturnValue": ["lost"] })), ["a"]);
        assert_eq!(read("q", json!({ "Outputs": { "q": ["replaced"] }, "ReturnValue": { "q": ["a"] } })), ["a"]);
        assert_eq!(read("q", json!({ "Outputs": { "q": ["lost"] }, "ReturnValue": { "q": null } })), none);
    }

    #[test]
    fn a_queue_message_of_more_than_48_kib_fails_the_invocation() {
        assert!(read_output(&json!(["x".repeat(49_152)])).is_ok());
        assert!(matches!(read_output(&json!(["x".repeat(49_153)])), Err(ReplyError::Failed(_))));
    }

    #[test]
    fn an_invalid_reply_fails_and_an_empty_one_hangs() {
        let read = |status, kind, body: &str| read(status, kind, body.as_bytes(), "q", MessageEncoding::Base64);
        let json = Some("application/json; charset=utf-8");
        for (status, body) in [(204, "{}"), (200, ""), (200, "null"), (200, " null\n")] {
            assert_eq!(read(status, json, body), Err(ReplyError::Hangs), "{status} {body}");
        }
        for (status, kind, body) in [
            (503, json, "{}"),
            (200, Some("text/plain"), "{}"),
            (200, None, "{}"),
            (200, json, "{"),
            (200, json, "[]"),
            (200, json, r#"{"Outputs":[]}"#),
            (200, json, r#"{"Logs":"line"}"#),
            (200, json, r#"{"Logs":[{}]}"#),
        ] {
            assert!(matches!(read(status, kind, body), Err(ReplyError::Failed(_))), "{status} {kind:?} {body}");
        }
        for (body, expected) in
            [(r#"{"error":"the store is unavailable","Logs":[]}"#, "the store is unavailable"), ("busy", "busy")]
        {
            assert_eq!(read(503, json, body), Err(ReplyError::Failed(format!("the handler answered 503: {expected}"))));
        }
        let dropped = read(200, json, r#"{"Outputs":{"Q":["x"]},"Logs":["line"]}"#);
        assert_eq!(dropped, Ok(Accepted { messages: vec![], logs: vec!["line".into()] }));
    }
}
