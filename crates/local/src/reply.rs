//! The reply as the Functions host understands it: what fails the invocation, and what becomes a queue message.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{function_app::MessageEncoding, text::truncated};
use serde::Deserialize;
use serde_json::Value;

/// What the host takes from a reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The messages for the queue binding, as bytes before encoding.
    pub messages: Vec<Vec<u8>>,
    /// The lines for the function's log.
    pub logs: Vec<String>,
}

/// Why a reply does not end the invocation well.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The invocation has failed.
    Failed(String),
    /// The host goes on waiting, until `functionTimeout`.
    Hangs,
}

/// Reads a reply by the host's rules.
///
/// # Errors
///
/// [`Refused`], when the invocation has not succeeded. Then the host takes nothing from the reply.
pub fn read(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
    binding: &str,
    encoding: MessageEncoding,
) -> Result<Accepted, Refused> {
    let failed = |reason: String| Err(Refused::Failed(reason));
    if !(200..300).contains(&status) {
        return failed(format!("the handler answered {status}: {}", error(body)));
    }
    if status == 204 || body.trim_ascii().is_empty() || body.trim_ascii() == b"null" {
        return Err(Refused::Hangs);
    }
    if !content_type.is_some_and(|kind| kind.trim_start().starts_with("application/json")) {
        return failed(format!("the reply's Content-Type is {content_type:?}, not application/json"));
    }
    let reply: Value = match serde_json::from_slice(body) {
        Ok(reply) => reply,
        Err(error) => return failed(format!("the reply is not JSON: {error}")),
    };
    if !reply.is_object() || !(reply["Outputs"].is_null() || reply["Outputs"].is_object()) {
        return failed("the reply, or its Outputs, is no JSON object".into());
    }
    let logs = match &reply["Logs"] {
        Value::Null => Vec::new(),
        Value::Array(lines) => match lines.iter().map(|line| line.as_str().map(str::to_owned)).collect() {
            Some(lines) => lines,
            None => return failed("the reply's Logs hold something else than strings".into()),
        },
        _ => return failed("the reply's Logs are no array".into()),
    };
    // Any other name in Outputs is dropped without a word, as the host does.
    let messages = messages(&reply["Outputs"][binding]).map_err(Refused::Failed)?;
    let limit = match encoding {
        MessageEncoding::Base64 => 49_152,
        MessageEncoding::None => 65_536,
    };
    match messages.iter().find(|message| message.len() > limit) {
        Some(message) => failed(format!("a queue message has {} bytes; {limit} fit", message.len())),
        None => Ok(Accepted { messages, logs }),
    }
}

/// What an answer says for people: its member `error`, or else all of it. The host does not look into it.
fn error(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }

    let told = serde_json::from_slice(body).map(|Answer { error }| error);
    told.unwrap_or_else(|_| truncated(&String::from_utf8_lossy(body)))
}

/// The queue binding's conversion of an output.
fn messages(output: &Value) -> Result<Vec<Vec<u8>>, String> {
    match output {
        Value::Null => Ok(Vec::new()),
        Value::Array(elements) => Ok(elements.iter().map(message).collect()),
        Value::String(text) => one_string(text),
        other => Ok(vec![message(other)]),
    }
}

/// An element of an array: a string goes verbatim, anything else is written anew.
fn message(element: &Value) -> Vec<u8> {
    match element {
        Value::String(text) => text.clone().into_bytes(),
        other => serde_json::to_vec_pretty(other).unwrap_or_default(),
    }
}

/// One string: the host guesses what is in it.
fn one_string(text: &str) -> Result<Vec<Vec<u8>>, String> {
    if let Ok(bytes) = BASE64.decode(text) {
        return Ok(vec![bytes]);
    }
    match text.trim_start().chars().next() {
        Some('[') => match serde_json::from_str::<Vec<Value>>(text) {
            Ok(elements) => Ok(elements.iter().map(message).collect()),
            Err(error) => Err(format!("an output that looks like a JSON array is none: {error}")),
        },
        Some('{') if serde_json::from_str::<Value>(text).is_err() => {
            Err("an output that looks like a JSON object is none".into())
        }
        _ => Ok(vec![text.as_bytes().to_vec()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_output(output: &Value) -> Result<Vec<String>, Refused> {
        let body = json!({ "Outputs": { "q": output } }).to_string();
        let accepted = read(200, Some("application/json"), body.as_bytes(), "q", MessageEncoding::Base64)?;
        Ok(accepted.messages.into_iter().map(|message| String::from_utf8(message).expect("text")).collect())
    }

    #[test]
    fn an_array_of_strings_goes_verbatim_and_everything_else_is_converted() {
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
        assert!(matches!(read_output(&json!("{not json}")), Err(Refused::Failed(_))));
    }

    #[test]
    fn forty_eight_kibibytes_fit_and_one_byte_more_fails_the_invocation() {
        assert!(read_output(&json!(["x".repeat(49_152)])).is_ok());
        assert!(matches!(read_output(&json!(["x".repeat(49_153)])), Err(Refused::Failed(_))));
    }

    #[test]
    fn what_the_host_does_not_understand_fails_or_hangs() {
        let read = |status, kind, body: &str| read(status, kind, body.as_bytes(), "q", MessageEncoding::Base64);
        let json = Some("application/json; charset=utf-8");
        for (status, body) in [(204, "{}"), (200, ""), (200, "null"), (200, " null\n")] {
            assert_eq!(read(status, json, body), Err(Refused::Hangs), "{status} {body}");
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
            assert!(matches!(read(status, kind, body), Err(Refused::Failed(_))), "{status} {kind:?} {body}");
        }
        for (body, told) in [(r#"{"error":"the store is away","Logs":[]}"#, "the store is away"), ("busy", "busy")] {
            assert_eq!(read(503, json, body), Err(Refused::Failed(format!("the handler answered 503: {told}"))));
        }
        let dropped = read(200, json, r#"{"Outputs":{"Q":["x"]},"Logs":["line"]}"#);
        assert_eq!(dropped, Ok(Accepted { messages: vec![], logs: vec!["line".into()] }));
    }
}
