//! The host's request for one message of a Service Bus session.
//!
//! A value that is not an object is JSON in a string, so that a text has two pairs of quotes and a number has one. A single
//! time has no fraction. A test holds the form to the recordings (`tests/black_box/forms.rs`).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::retry_context;

/// The beginning of a second: 2024-11-21T00:46:40 UTC.
pub const SECOND_ZERO_MS: i64 = 1_732_150_000_000;

/// A message, as Service Bus delivers it.
#[derive(Debug, Clone)]
pub struct SessionMessage {
    /// The sequence number, and the enqueued time in milliseconds since [`SECOND_ZERO_MS`].
    pub number: i64,
    pub session: String,
    pub body: Vec<u8>,
    pub content_type: Option<&'static str>,
    pub delivery_count: i64,
    /// The attempt under a retry policy of `function.json`: how often this delivery was retried, and how often it may be.
    pub retry: Option<(i64, i64)>,
}

impl SessionMessage {
    pub fn new(number: i64, session: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            number,
            session: session.to_owned(),
            body: body.into(),
            content_type: None,
            delivery_count: 1,
            retry: None,
        }
    }

    pub fn battery(number: i64, device: &str, battery: f64) -> Self {
        Self::new(number, device, json!({ "deviceId": device, "battery": battery }).to_string())
    }

    /// Returns the same message in its delivery of this number.
    pub fn delivered(&self, delivery_count: i64) -> Self {
        Self { delivery_count, ..self.clone() }
    }

    /// Returns the same delivery in its retry of this number, under a retry policy.
    pub fn retried(&self, retry_count: i64, max_retry_count: i64) -> Self {
        Self { retry: Some((retry_count, max_retry_count)), ..self.clone() }
    }

    /// Returns the message's id.
    pub fn id(&self) -> String {
        format!("{}/{}", self.session, self.number)
    }

    pub fn request(&self) -> Value {
        let in_json = |value: Value| Value::from(value.to_string());
        let seconds = (SECOND_ZERO_MS + self.number) / 1_000;
        let enqueued = jiff::Timestamp::from_second(seconds).expect("a time").strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let lock = json!({ "SessionLockedUntil": "2024-11-21T00:48:40.1234567+00:00" });
        let mut metadata = json!({
            "MessageReceiver": lock, "MessageSession": lock, "MessageActions": lock, "SessionActions": lock,
            "ReceiveActions": {},
            "Client": {
                "FullyQualifiedNamespace": "bus.servicebus.windows.net", "IsClosed": false, "TransportType": 0,
                "Identifier": "bus.servicebus.windows.net-5cb2c807-d48e-42c4-91d0-9045b9ee6498",
            },
            "DeliveryCount": in_json(self.delivery_count.into()),
            "LockToken": in_json("47188f01-d285-4627-aff0-9c327f780aee".into()),
            "ExpiresAtUtc": "9999-12-31T23:59:59",
            "ExpiresAt": "9999-12-31T23:59:59+00:00",
            "EnqueuedTimeUtc": enqueued,
            "EnqueuedTime": format!("{enqueued}+00:00"),
            "MessageId": in_json(self.id().into()),
            "SequenceNumber": in_json(self.number.into()),
            "ApplicationProperties": { "site": "north" },
            "UserProperties": { "site": "north" },
            "SessionId": in_json(self.session.clone().into()),
            "PartitionKey": in_json(self.session.clone().into()),
            "sys": {
                "MethodName": "SessionTelemetryFunction",
                "UtcNow": "2024-11-21T00:47:40.1234567Z",
                "RandGuid": "0a1a3c0e-5e8a-498d-9cd1-ab18f5518de0",
            },
        });
        if let Some(content_type) = self.content_type {
            metadata["ContentType"] = in_json(content_type.into());
        }
        if let Some((count, max)) = self.retry {
            metadata["RetryContext"] = retry_context(count, max);
        }
        json!({ "Data": { "message": BASE64.encode(&self.body) }, "Metadata": metadata })
    }

    pub fn to_bytes(&self) -> Bytes {
        self.request().to_string().into()
    }
}
