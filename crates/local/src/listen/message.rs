//! Reads the events of a request: one as its body, or a batch as JSON.

use std::error::Error as _;

use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refusal::{MAX_BYTES, Refusal};
use crate::{
    hub::{Property, Sent},
    source::to_properties,
};

/// The content type of a batch.
const BATCH: &str = "application/vnd.microsoft.servicebus.json";

/// The header with the properties that the broker reads, as JSON.
const BROKER_PROPERTIES: &str = "brokerproperties";

/// What an event of a batch counts besides its body.
const EVENT_BYTES: usize = 64;

/// The longest key of a partition and id of a session, in characters.
const MAX_KEY_CHARACTERS: usize = 128;

/// Where events go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A hub, and the partition if the request names one.
    Hub(Option<usize>),
    /// A queue with sessions.
    Sessions,
}

/// The properties that the broker reads. It ignores others.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BrokerProperties {
    partition_key: Option<String>,
    session_id: Option<String>,
    message_id: Option<String>,
    correlation_id: Option<String>,
}

/// An event of a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEvent {
    body: String,
    #[serde(default)]
    is_body_base64: bool,
    #[serde(default)]
    broker_properties: BrokerProperties,
    #[serde(default)]
    user_properties: Map<String, Value>,
}

/// Reads the events of a request.
pub(super) async fn read(request: Request, target: &Target) -> Result<Vec<Sent>, Refusal> {
    let (parts, body) = request.into_parts();
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > MAX_BYTES) {
        return Err(Refusal::too_large());
    }
    let body = to_bytes(body, MAX_BYTES).await.map_err(|error| match error.source() {
        Some(source) if source.is::<LengthLimitError>() => Refusal::too_large(),
        _ => Refusal::bad_request("the request ended before its body"),
    })?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(text);
    if content_type.as_deref().is_some_and(is_batch) {
        return read_batch(&body, target);
    }
    let properties = match parts.headers.get(BROKER_PROPERTIES) {
        Some(value) => serde_json::from_slice(value.as_bytes())
            .map_err(|error| Refusal::bad_request(format!("the header BrokerProperties is invalid: {error}")))?,
        None => BrokerProperties::default(),
    };
    let event = Sent { body: body.into(), properties: user_properties(&parts.headers), ..Sent::default() };
    let content_type = content_type.map(|value| ("content-type".to_owned(), Property::Text(value)));
    Ok(vec![Sent { system_properties: content_type.into_iter().collect(), ..addressed(event, properties, target)? }])
}

fn is_batch(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(BATCH))
}

fn read_batch(body: &[u8], target: &Target) -> Result<Vec<Sent>, Refusal> {
    let invalid = |reason: String| {
        let form =
            r#"it must be an array of objects such as {"Body":"text","BrokerProperties":{"PartitionKey":"key"}}"#;
        Refusal::bad_request(format!("the batch is invalid: {reason}; {form}"))
    };
    let batch: Vec<BatchEvent> = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
    if batch.is_empty() {
        return Err(invalid("it has no event".into()));
    }
    let mut bytes = 0;
    let mut events = Vec::with_capacity(batch.len());
    for BatchEvent { body, is_body_base64, broker_properties, user_properties } in batch {
        let body = if is_body_base64 {
            BASE64.decode(body).map_err(|error| invalid(format!("a Body is not base64: {error}")))?
        } else {
            body.into_bytes()
        };
        bytes += body.len() + EVENT_BYTES;
        let event = Sent { body, properties: to_properties(user_properties), ..Sent::default() };
        events.push(addressed(event, broker_properties, target)?);
    }
    if bytes > MAX_BYTES { Err(Refusal::too_large()) } else { Ok(events) }
}

/// Returns an event with its address, by the properties for the broker.
fn addressed(event: Sent, properties: BrokerProperties, target: &Target) -> Result<Sent, Refusal> {
    let BrokerProperties { partition_key, session_id, message_id, correlation_id } = properties;
    let (name, key, partition) = match target {
        Target::Hub(partition) => ("PartitionKey", partition_key, *partition),
        Target::Sessions if session_id.is_none() => {
            return Err(Refusal::bad_request(
                r#"the queue has sessions, so that each message needs one: BrokerProperties: {"SessionId":"device id"}"#,
            ));
        }
        Target::Sessions => ("SessionId", session_id, None),
    };
    if key.as_ref().is_some_and(|key| key.chars().nth(MAX_KEY_CHARACTERS).is_some()) {
        return Err(Refusal::bad_request(format!("{name} has more than {MAX_KEY_CHARACTERS} characters")));
    }
    Ok(Sent { partition_key: key, partition, message_id, correlation_id, ..event })
}

/// Returns the application properties: the headers that neither HTTP nor the service defines. HTTP does not distinguish the case of
/// their names, which are in lower case here.
fn user_properties(headers: &HeaderMap) -> Vec<(String, Property)> {
    let given = headers.iter().filter(|(name, _)| !is_of_protocol(name));
    given.map(|(name, value)| (name.to_string(), Property::Text(unquoted(text(value))))).collect()
}

/// Returns whether a header is no application property. Secrets never become one.
fn is_of_protocol(name: &HeaderName) -> bool {
    const NAMES: [&str; 17] = [
        "authorization",
        BROKER_PROPERTIES,
        "connection",
        "cookie",
        "date",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "priority",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    ];
    const PREFIXES: [&str; 5] = ["accept", "content-", "proxy-", "sec-", "x-ms-"];
    NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Returns a text without the quotation marks that some senders set.
fn unquoted(value: String) -> String {
    if value.starts_with('"') { serde_json::from_str(&value).unwrap_or(value) } else { value }
}
