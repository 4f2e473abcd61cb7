//! Builds the host's envelopes, whose form a test holds to the recordings, and reads the handler's replies.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use devicestate_engine::{
    dead_letter::DeadLetter,
    function_app::{Cardinality, DataType, EventHubTrigger, Function, QueueOutput, RetryPolicy, Trigger},
    handler::{Handler, Response},
    processor::Processor,
    record::{BatchRecord, DeadLetterRecord, Record},
    retry_decision::Attempts,
};
use devicestate_test_support::{dead_letter_schema, record_schema::read_record, retry_context};
use serde_json::{Value, json};

use super::T0;

/// An event as the host sends it: bytes, and the JSON text of its metadata.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The sequence number; -1 for an event without a position.
    pub number: i64,
    pub body: Vec<u8>,
    pub partition_key: String,
    pub properties: String,
    pub system_properties: String,
}

impl Sent {
    pub fn new(number: i64, body: impl Into<Vec<u8>>) -> Self {
        Self {
            number,
            body: body.into(),
            partition_key: format!("\"key-{number}\""),
            properties: "{}".into(),
            system_properties: Self::system_properties_of(number),
        }
    }

    /// Returns what hub and host set.
    fn system_properties_of(number: i64) -> String {
        let (time, offset) = (Self::time_of(number), number * 112);
        format!(
            r#"{{"x-opt-sequence-number":{number},"x-opt-offset":"{offset}","x-opt-enqueued-time":"{time}+00:00","x-opt-partition-key":"key-{number}","SequenceNumber":{number},"Offset":{offset},"OffsetString":"{offset}","PartitionKey":"key-{number}","EnqueuedTimeUtc":"{time}"}}"#
        )
    }

    fn time_of(number: i64) -> String {
        let (seconds, ms) = ((T0 + number) / 1_000, (T0 + number) % 1_000);
        let time = jiff::Timestamp::from_second(seconds).expect("a time").strftime("%Y-%m-%dT%H:%M:%S");
        // .NET writes no zeros at the end of a fraction.
        format!("{time}.{ms:03}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    pub fn battery(number: i64, device: &str, battery: f64) -> Self {
        Self::new(number, json!({"deviceId": device, "battery": battery}).to_string())
    }
}

/// One request of the host.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub events: Vec<Sent>,
    /// `RetryCount` and `MaxRetryCount`.
    pub retry: Option<(i64, i64)>,
}

impl Envelope {
    /// Creates a request with the endless retry policy that ships.
    pub fn new(events: impl IntoIterator<Item = Sent>) -> Self {
        Self { events: events.into_iter().collect(), retry: Some((0, -1)) }
    }

    /// Returns the same request after this many retries.
    pub fn retried(&self, count: i64) -> Self {
        let (_, most) = self.retry.expect("a retry policy");
        Self { retry: Some((count, most)), ..self.clone() }
    }

    pub fn with_retry(self, retry: Option<(i64, i64)>) -> Self {
        Self { retry, ..self }
    }

    pub fn to_bytes(&self) -> Bytes {
        let array = |cell: &dyn Fn(&Sent) -> String| {
            let cells: Vec<_> = self.events.iter().map(cell).collect();
            Value::String(format!("[{}]", cells.join(",")))
        };
        let context = json!({
            "IsCheckpointingAfterInvocation": true, "FullyQualifiedNamespace": "ns.servicebus.windows.net",
            "EventHubName": "telemetry", "ConsumerGroup": "$Default", "PartitionId": "3",
        });
        let offset = |sent: &Sent| format!("\"{}\"", sent.number * 112);
        let if_known = |sent: &Sent, cell| if sent.number < 0 { "null".to_owned() } else { cell };
        let mut metadata = json!({
            "PartitionContext": context, "TriggerPartitionContext": context,
            "SequenceNumberArray": array(&|sent| if_known(sent, sent.number.to_string())),
            "EnqueuedTimeUtcArray": array(&|sent| if_known(sent, format!("\"{}\"", Sent::time_of(sent.number)))),
            "PartitionKeyArray": array(&|sent| sent.partition_key.clone()),
            "OffsetArray": array(&offset), "OffsetStringArray": array(&offset),
            "PropertiesArray": array(&|sent| sent.properties.clone()),
            "SystemPropertiesArray": array(&|sent| sent.system_properties.clone()),
            "sys": {"MethodName": "RawTelemetryFunction", "UtcNow": "2024-11-21T00:47:40.1234567Z",
                    "RandGuid": "2b8c1d3e-5f60-4a71-8b92-c3d4e5f60718"},
        });
        if let Some((count, most)) = self.retry {
            metadata["RetryContext"] = retry_context(count, most);
        }
        let messages = array(&|sent| format!("\"{}\"", BASE64.encode(&sent.body)));
        json!({"Data": {"messages": messages}, "Metadata": metadata}).to_string().into()
    }
}

/// Returns the function that ships.
fn function() -> Function {
    Function {
        name: "RawTelemetryFunction".into(),
        trigger: Trigger::EventHub(EventHubTrigger {
            name: "messages".into(),
            event_hub_name: "telemetry".into(),
            consumer_group: "$Default".into(),
            connection: "EventHubConnection".into(),
            cardinality: Cardinality::Many,
            data_type: DataType::Binary,
        }),
        dead_letters: QueueOutput {
            name: "deadLetterMessages".into(),
            queue_name: "deadletterqueue".into(),
            connection: "DeadLetterStorage".into(),
        },
        retry: Some(RetryPolicy::FixedDelay { max_retry_count: -1, delay_interval: Duration::from_secs(1) }),
    }
}

/// Creates a handler that gives up a device after five failed attempts.
pub fn handler(processor: Processor) -> Handler {
    Handler {
        function: function(),
        processor: Arc::new(processor),
        overflow: None,
        attempts: Attempts::new(5),
        retry_drill: None,
    }
}

/// A reply that completes a batch.
pub struct FinalReply {
    /// The texts of the queue messages.
    pub messages: Vec<String>,
    /// The parsed dead letters.
    pub dead_letters: Vec<DeadLetter>,
    /// The records of the dead letters.
    pub logged: Vec<DeadLetterRecord>,
    pub record: BatchRecord,
}

impl FinalReply {
    /// Returns the numbers of applied, superseded and dead-lettered events.
    pub fn counts(&self) -> [u64; 3] {
        [self.record.applied, self.record.superseded, self.record.dead_lettered]
    }
}

/// Reads a final reply as strictly as the host does, and checks the rules for each reply.
#[track_caller]
pub fn final_reply(response: Response) -> FinalReply {
    let body = match response {
        Response::Complete(body) => body,
        Response::Retry(reason) => panic!("the attempt failed: {reason}"),
    };
    let reply: Value = serde_json::from_str(&body).expect("the reply is JSON");
    let keys: Vec<_> = reply.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["Logs", "Outputs", "ReturnValue"]);
    let strings = |value: &Value| -> Vec<String> {
        let strings = value.as_array().expect("an array").iter();
        strings.map(|value| value.as_str().expect("a string").to_owned()).collect()
    };
    let messages = strings(&reply["Outputs"]["deadLetterMessages"]);
    let dead_letters: Vec<DeadLetter> = messages.iter().map(read_dead_letter).collect();
    let (mut logged, mut batches) = (Vec::new(), Vec::new());
    for line in strings(&reply["Logs"]) {
        read_record(&line);
        match serde_json::from_str(&line).expect("a record") {
            Record::DeadLetter(record) => logged.push(record),
            Record::Batch(record) => batches.push(record),
            other => panic!("an unexpected record in a final reply: {other:?}"),
        }
    }
    let [record] = <[BatchRecord; 1]>::try_from(batches).expect("one batch record");
    let reply = FinalReply { messages, dead_letters, logged, record };
    let BatchRecord { unrecognized, ignored, .. } = reply.record;
    let counted = reply.counts().iter().sum::<u64>() + unrecognized + ignored;
    assert_eq!(counted, reply.record.attempt.events, "the counts add up to the batch");
    assert_eq!(reply.counts()[2], reply.messages.len() as u64, "each counted dead letter is in the outputs");
    assert_eq!(reply.logged.len(), reply.messages.len(), "each dead letter is logged");
    reply
}

/// Reads a dead letter from the queue or the overflow, and checks that it satisfies the schema and is written again byte for
/// byte as it was.
#[track_caller]
pub fn read_dead_letter(text: impl AsRef<[u8]>) -> DeadLetter {
    dead_letter_schema::read_dead_letter(&text);
    let letter: DeadLetter = serde_json::from_slice(text.as_ref()).expect("a dead letter");
    let before = str::from_utf8(text.as_ref()).expect("JSON is text");
    assert_eq!(letter.to_json(), before);
    letter
}

/// Returns the body of a response that fails the attempt.
#[track_caller]
pub fn retry_body(response: Response) -> String {
    match response {
        Response::Retry(body) => {
            let reply: Value = serde_json::from_str(&body).expect("JSON");
            let record = read_record(reply["Logs"][0].as_str().expect("a line"));
            assert_eq!(record["record"], "failedAttempt");
            body
        }
        Response::Complete(body) => panic!("the batch was completed: {body}"),
    }
}
