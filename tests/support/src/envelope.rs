//! The host's request for one invocation, with `cardinality: many` and `dataType: binary`. A test holds its form to the
//! recordings (`tests/black_box/forms.rs`).

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{base64, recording};

/// 2024-11-20T00:00:00 UTC, from which the events' times are counted.
pub const TIME_ZERO_MS: i64 = 1_732_060_800_000;

/// The namespace of all batches.
pub const NAMESPACE: &str = "drones.servicebus.windows.net";

/// The hub of all batches.
pub const EVENT_HUB: &str = "telemetry";

/// One event of a partition.
#[derive(Debug, Clone)]
pub struct Event {
    body: Vec<u8>,
    sequence_number: i64,
    /// Milliseconds since [`TIME_ZERO_MS`].
    enqueued_ms: i64,
    partition_key: Option<String>,
    /// What the sender or IoT Hub set.
    system_properties: Vec<(String, Value)>,
}

impl Event {
    /// Creates an event without a content type, enqueued 10 ms after the event with the previous sequence number.
    pub fn new(sequence_number: i64, body: impl Into<Vec<u8>>) -> Self {
        let enqueued_ms = sequence_number * 10;
        Self { body: body.into(), sequence_number, enqueued_ms, partition_key: None, system_properties: Vec::new() }
    }

    /// Creates a JSON event.
    pub fn json(sequence_number: i64, body: &Value) -> Self {
        Self::new(sequence_number, body.to_string()).content_type("application/json")
    }

    /// Creates a protobuf event.
    pub fn protobuf(sequence_number: i64, body: impl Into<Vec<u8>>) -> Self {
        Self::new(sequence_number, body).content_type("application/x-protobuf")
    }

    /// Sets the content type.
    pub fn content_type(self, content_type: &str) -> Self {
        self.system_property("content-type", content_type)
    }

    /// Sets the partition key.
    pub fn partition_key(mut self, key: &str) -> Self {
        self.partition_key = Some(key.to_owned());
        self
    }

    /// Sets a system property.
    pub fn system_property(mut self, name: &str, value: &str) -> Self {
        self.system_properties.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the enqueued time, in milliseconds since 1970, and the sequence number.
    pub fn position(&self) -> (i64, i64) {
        (TIME_ZERO_MS + self.enqueued_ms, self.sequence_number)
    }

    fn enqueued_time(&self) -> String {
        let ms = self.enqueued_ms;
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let time = format!("2024-11-20T{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000);
        // .NET writes no zeros at the end of a fraction.
        time.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    fn offset(&self) -> i64 {
        self.sequence_number * 112
    }

    /// Returns the JSON of the system properties in the host's order.
    fn all_system_properties(&self) -> String {
        let (time, offset) = (self.enqueued_time(), self.offset());
        let key = self.partition_key.as_ref().map(|key| ("x-opt-partition-key", json!(key)));
        let set_by_hub = [
            ("x-opt-sequence-number", json!(self.sequence_number)),
            ("x-opt-offset", json!(offset.to_string())),
            ("x-opt-enqueued-time", json!(format!("{time}+00:00"))),
        ];
        let set_by_host = [
            ("SequenceNumber", json!(self.sequence_number)),
            ("Offset", json!(offset)),
            ("OffsetString", json!(offset.to_string())),
            ("PartitionKey", json!(self.partition_key)),
            ("EnqueuedTimeUtc", json!(time)),
        ];
        let set_by_sender = self.system_properties.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let all = set_by_sender.chain(set_by_hub).chain(key).chain(set_by_host);
        let members: Vec<_> = all.map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Returns the retry context of an attempt, with the recorded exception after a failed one.
pub fn retry_context(retry_count: i64, max_retry_count: i64) -> Value {
    static RECORDED: LazyLock<Value> =
        LazyLock::new(|| recording("binary-many-json-attempt-2").envelope()["Metadata"]["RetryContext"].clone());
    let mut context = RECORDED.clone();
    context["RetryCount"] = retry_count.into();
    context["MaxRetryCount"] = max_retry_count.into();
    if retry_count == 0 {
        context["Exception"] = Value::Null;
    }
    context
}

/// The events of one invocation.
#[derive(Debug, Clone)]
pub struct Batch {
    events: Vec<Event>,
    partition_id: String,
    retry: Option<(i64, i64)>,
}

impl Batch {
    /// Creates a batch of partition 0, in an invocation without a retry context.
    pub fn of(events: impl Into<Vec<Event>>) -> Self {
        Self { events: events.into(), partition_id: "0".to_owned(), retry: None }
    }

    /// Creates a batch of three events of two drones, with the sequence numbers from [`Self::EXAMPLE`].
    pub fn example() -> Self {
        let event =
            |number: i64, device: &str, body: Value| Event::json(Self::EXAMPLE + number, &body).partition_key(device);
        let position = json!({"latitude": 47.476_075, "longitude": -122.192_026, "altitude": 121.5});
        let health = json!({"gyrometerOK": true, "accelerometerOK": true, "magnetometerOK": false});
        Self::of([
            event(
                0,
                "drone-0017",
                json!({"deviceId": "drone-0017", "battery": 0.8125, "flightMode": "inflight", "position": position}),
            ),
            event(
                1,
                "drone-0042",
                json!({"deviceId": "drone-0042", "battery": 0.375, "flightMode": 4, "health": health}),
            ),
            event(2, "drone-0017", json!({"deviceId": "drone-0017", "battery": 0.8})),
        ])
    }

    /// The first sequence number of [`Self::example`].
    pub const EXAMPLE: i64 = 48_211;

    /// Sets the partition.
    pub fn partition(mut self, id: &str) -> Self {
        id.clone_into(&mut self.partition_id);
        self
    }

    /// Adds a retry context: the number of this retry, and the largest number of retries; -1 for unlimited.
    pub fn retry(mut self, count: i64, max_count: i64) -> Self {
        self.retry = Some((count, max_count));
        self
    }

    /// Returns the events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the partition's id.
    pub fn partition_id(&self) -> &str {
        &self.partition_id
    }

    /// Returns the request's body.
    pub fn envelope(&self) -> Value {
        let column = |cell: &dyn Fn(&Event) -> String| {
            Value::from(format!("[{}]", self.events.iter().map(cell).collect::<Vec<_>>().join(",")))
        };
        let context = json!({
            "IsCheckpointingAfterInvocation": true,
            "FullyQualifiedNamespace": NAMESPACE,
            "EventHubName": EVENT_HUB,
            "ConsumerGroup": "devicestate",
            "PartitionId": self.partition_id,
        });
        let mut metadata = json!({
            "PartitionContext": context,
            "TriggerPartitionContext": context,
            "PartitionKeyArray": column(&|event| json!(event.partition_key).to_string()),
            "OffsetArray": column(&|event| json!(event.offset().to_string()).to_string()),
            "OffsetStringArray": column(&|event| json!(event.offset().to_string()).to_string()),
            "SequenceNumberArray": column(&|event| json!(event.sequence_number).to_string()),
            "EnqueuedTimeUtcArray": column(&|event| json!(event.enqueued_time()).to_string()),
            "PropertiesArray": column(&|event| json!({"n": event.sequence_number}).to_string()),
            "SystemPropertiesArray": column(&Event::all_system_properties),
            "sys": {
                "MethodName": super::FUNCTION,
                "UtcNow": "2024-11-20T23:59:59.1234567Z",
                "RandGuid": "2b8c1d3e-5f60-4a71-8b92-c3d4e5f60718",
            },
        });
        if let Some((count, max_count)) = self.retry {
            metadata["RetryContext"] = retry_context(count, max_count);
        }
        json!({"Data": {"messages": column(&|event| json!(base64(&event.body)).to_string())}, "Metadata": metadata})
    }
}
