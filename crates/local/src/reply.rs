//! Reads a reply as the Functions host does: which replies fail the invocation, and which outputs become queue messages.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{
    function_app::{MessageEncoding, RETURN_VALUE},
    queue::DeadLetterQueue,
    text::truncated,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::dotnet::{Json, Members, number_text, rewrite};

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

impl Accepted {
    /// Puts the messages one after another, as the host does: if one is too long or cannot be put, the earlier ones stay in the
    /// queue, and a retry repeats them.
    ///
    /// # Errors
    ///
    /// The reason why a message was not put, which fails the invocation.
    pub async fn put_messages(&self, queue: &dyn DeadLetterQueue, encoding: MessageEncoding) -> Result<(), String> {
        for message in &self.messages {
            check_length(message, encoding)?;
            queue.put(message).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Checks that a queue accepts a message of this length.
///
/// # Errors
///
/// The message is too long.
pub fn check_length(message: &[u8], encoding: MessageEncoding) -> Result<(), String> {
    let limit = match encoding {
        MessageEncoding::Base64 => 49_152,
        MessageEncoding::None => 65_536,
    };
    if message.len() > limit {
        return Err(format!("a queue message has {} bytes; the limit is {limit}", message.len()));
    }
    Ok(())
}

/// Reads a reply by the host's rules.
///
/// # Errors
///
/// [`ReplyError`] if the invocation did not succeed. The host then uses nothing of the reply.
pub fn read(status: u16, content_type: Option<&str>, body: &[u8], binding: &str) -> Result<Accepted, ReplyError> {
    let failed = |reason: String| Err(ReplyError::Failed(reason));
    if !(200..300).contains(&status) {
        return failed(format!("the handler answered {status}: {}", error_text(body)));
    }
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim();
    if status == 204 || text.is_empty() || text == "null" {
        return Err(ReplyError::Hangs);
    }
    if !content_type.is_some_and(|kind| kind.trim_start().starts_with("application/json")) {
        return failed(format!("the reply's Content-Type is {content_type:?}, not application/json"));
    }
    let reply: Members = match serde_json::from_str(text) {
        Ok(reply) => reply,
        Err(error) => return failed(format!("the reply is not a JSON object: {error}")),
    };
    let outputs = match member(&reply, "Outputs").map(Json::read) {
        None | Some(Json::Null) => Members::default(),
        Some(Json::Object(outputs)) => outputs,
        Some(_) => return failed("the reply's Outputs must be a JSON object".into()),
    };
    let logs = match member(&reply, "Logs").map(Json::read) {
        None | Some(Json::Null) => Some(Vec::new()),
        Some(Json::Array(lines)) => lines.into_iter().map(log_line).collect(),
        Some(_) => None,
    };
    let Some(logs) = logs else { return failed("the reply's Logs must be an array of strings".into()) };
    let output = output(&outputs, member(&reply, "ReturnValue"), binding);
    let messages = output.map_or_else(|| Ok(Vec::new()), to_messages).map_err(ReplyError::Failed)?;
    Ok(Accepted { messages, logs })
}

/// Returns a member of a reply, whose name may have any letter case.
fn member<'a>(reply: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    reply.0.iter().rfind(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

fn log_line(line: &RawValue) -> Option<String> {
    match Json::read(line) {
        Json::Text(line) => Some(line),
        _ => None,
    }
}

/// Returns the value of an output binding. The host drops other names in `Outputs` without an error.
fn output<'a>(outputs: &Members<'a>, returned: Option<&'a RawValue>, binding: &str) -> Option<&'a RawValue> {
    if binding == RETURN_VALUE {
        return returned;
    }
    let named = |members: &Members<'a>| members.0.iter().find(|(name, _)| name == binding).map(|(_, value)| *value);
    // A returned object has outputs by name, which replace those of `Outputs`.
    let replaced = returned.and_then(|returned| match Json::read(returned) {
        Json::Object(members) => named(&members),
        _ => None,
    });
    replaced.or_else(|| named(outputs))
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
fn to_messages(output: &RawValue) -> Result<Vec<Vec<u8>>, String> {
    match Json::read(output) {
        Json::Null => Ok(Vec::new()),
        Json::Array(elements) => Ok(elements.into_iter().map(to_message).collect()),
        Json::Text(text) => messages_from_string(&text),
        _ => Ok(vec![to_message(output)]),
    }
}

/// Converts an element of an array: a string is used verbatim, any other value is printed as .NET does.
fn to_message(element: &RawValue) -> Vec<u8> {
    let text = match Json::read(element) {
        Json::Null => String::new(),
        Json::Boolean(value) => if value { "True" } else { "False" }.to_owned(),
        Json::Number(number) => number_text(number),
        Json::Text(text) => text,
        Json::Array(_) | Json::Object(_) => rewrite(element, Some(0)),
    };
    text.into_bytes()
}

/// Converts a single string, whose format the host guesses.
fn messages_from_string(text: &str) -> Result<Vec<Vec<u8>>, String> {
    if let Ok(bytes) = BASE64.decode(text) {
        return Ok(vec![bytes]);
    }
    match text.trim_start().chars().next() {
        Some('[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(elements) => Ok(elements.into_iter().map(to_message).collect()),
            Err(error) => Err(format!("an output that starts with [ is not a JSON array: {error}")),
        },
        Some('{') if serde_json::from_str::<IgnoredAny>(text).is_err() => {
            Err("an output that starts with { is not a JSON object".into())
        }
        _ => Ok(vec![text.as_bytes().to_vec()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_return_value_is_the_output_of_the_binding_of_that_name_or_has_outputs_by_name() {
        let read = |binding: &str, reply: Value| {
            let body = reply.to_string();
            let accepted = read(200, Some("application/json"), body.as_bytes(), binding);
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
    fn an_invalid_reply_fails_and_an_empty_one_hangs() {
        let read = |status, kind, body: &str| read(status, kind, body.as_bytes(), "q");
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
