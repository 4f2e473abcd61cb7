//! The JSON of one request, as the host makes it of a batch for `cardinality: many` and `dataType: binary`, and where
//! in it stands what differs from one request to the next.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    digits::{Device, SequenceNumber, Time},
    telemetry::{self, NUMBER_AT},
};

/// A request's body.
pub(crate) struct Envelope {
    pub(crate) text: Vec<u8>,
    /// In the batch's order.
    pub(crate) events: Vec<Places<usize>>,
    /// The time of the request, and its id.
    pub(crate) now_at: usize,
    pub(crate) guid_at: usize,
}

/// Where an event is told about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Places<T> {
    /// The device's number in the body's base64.
    pub(crate) body: T,
    /// The device's number in each partition key.
    pub(crate) keys: [T; 3],
    pub(crate) sequence_numbers: [T; 3],
    pub(crate) times: [T; 3],
}

impl<T> Places<T> {
    pub(crate) fn map<U>(self, mut to: impl FnMut(T) -> U) -> Places<U> {
        Places {
            body: to(self.body),
            keys: self.keys.map(&mut to),
            sequence_numbers: self.sequence_numbers.map(&mut to),
            times: self.times.map(&mut to),
        }
    }
}

/// Bytes that one event takes in the partition's log; it only has to look like one.
const EVENT_BYTES: u64 = 416;

/// The width of a GUID.
pub(crate) const GUID: usize = 36;

impl Envelope {
    /// Of these events' bodies. What differs from request to request is yet to be filled in.
    pub(crate) fn new(function: &str, partition: u8, content_type: Option<&str>, bodies: &[Vec<u8>]) -> Self {
        let mut made = Self { text: Vec::new(), events: vec![Places::default(); bodies.len()], now_at: 0, guid_at: 0 };
        let key = telemetry::device_id(partition, Device(0));
        let number_in_key = key.len() - Device(0).digits().len();
        let (mut time, offset) = (Time::new(), |index: usize| 100_000_000_000 + index as u64 * EVENT_BYTES);
        let time = str::from_utf8(time.at(0)).expect("digits").to_owned();
        let sequence_number = str::from_utf8(&SequenceNumber::FIRST.0).expect("digits").to_owned();

        made.push("{\"Data\":{\"messages\":\"[");
        made.each("", "\\\"", "\\\"", |made, index| {
            made.events[index].body = made.text.len() + NUMBER_AT / 3 * 4;
            made.push(&BASE64.encode(&bodies[index]));
        });
        let context = format!(
            "{{\"IsCheckpointingAfterInvocation\":true,\"FullyQualifiedNamespace\":\"load.servicebus.windows.net\",\
             \"EventHubName\":\"telemetry\",\"ConsumerGroup\":\"$Default\",\"PartitionId\":\"{partition}\"}}"
        );
        made.push(&format!(
            "]\"}},\"Metadata\":{{\"TriggerPartitionContext\":{context},\"PartitionContext\":{context},\
             \"RetryContext\":{{\"RetryCount\":0,\"MaxRetryCount\":-1,\"Exception\":null}},"
        ));
        made.column("PartitionKeyArray", "\\\"", |made, index| {
            made.events[index].keys[0] = made.text.len() + number_in_key;
            made.push(&key);
        });
        for name in ["OffsetArray", "OffsetStringArray"] {
            made.column(name, "\\\"", |made, index| made.push(&offset(index).to_string()));
        }
        made.column("SequenceNumberArray", "", |made, index| {
            made.events[index].sequence_numbers[0] = made.text.len();
            made.push(&sequence_number);
        });
        made.column("EnqueuedTimeUtcArray", "\\\"", |made, index| {
            made.events[index].times[0] = made.text.len();
            made.push(&time);
        });
        made.column("PropertiesArray", "", |made, _| made.push("{}"));
        made.column("SystemPropertiesArray", "", |made, index| {
            let offset = offset(index).to_string();
            made.push("{\\\"x-opt-sequence-number\\\":");
            made.events[index].sequence_numbers[1] = made.text.len();
            made.push(&sequence_number);
            made.push(&format!(",\\\"x-opt-offset\\\":\\\"{offset}\\\",\\\"x-opt-enqueued-time\\\":\\\""));
            made.events[index].times[1] = made.text.len();
            made.push(&time);
            made.push("+00:00\\\",\\\"x-opt-partition-key\\\":\\\"");
            made.events[index].keys[1] = made.text.len() + number_in_key;
            made.push(&key);
            made.push("\\\",\\\"SequenceNumber\\\":");
            made.events[index].sequence_numbers[2] = made.text.len();
            made.push(&sequence_number);
            made.push(&format!(
                ",\\\"Offset\\\":{offset},\\\"OffsetString\\\":\\\"{offset}\\\",\\\"PartitionKey\\\":\\\""
            ));
            made.events[index].keys[2] = made.text.len() + number_in_key;
            made.push(&key);
            made.push("\\\",\\\"EnqueuedTimeUtc\\\":\\\"");
            made.events[index].times[2] = made.text.len();
            made.push(&time);
            made.push("\\\"");
            if let Some(content_type) = content_type {
                made.push(&format!(",\\\"content-type\\\":\\\"{content_type}\\\""));
            }
            made.push("}");
        });
        made.push(&format!("\"sys\":{{\"MethodName\":\"{function}\",\"UtcNow\":\""));
        made.now_at = made.text.len();
        // The host's clock has seven digits; the last four are as good as any.
        made.push(&format!("{time}4567Z\",\"RandGuid\":\""));
        made.guid_at = made.text.len();
        made.push(&"0".repeat(GUID));
        made.push("\"}}}");
        made
    }

    fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// A JSON array in a string, and a comma for the next member.
    fn column(&mut self, name: &str, quote: &str, cell: impl FnMut(&mut Self, usize)) {
        self.push(&format!("\"{name}\":\"["));
        self.each("", quote, quote, cell);
        self.push("]\",");
    }

    fn each(&mut self, mut comma: &str, before: &str, after: &str, mut cell: impl FnMut(&mut Self, usize)) {
        for index in 0..self.events.len() {
            self.push(comma);
            self.push(before);
            cell(self, index);
            self.push(after);
            comma = ",";
        }
    }
}
