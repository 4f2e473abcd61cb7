//! The JSON of one request, as the host writes it for a batch with `cardinality: many` and `dataType: binary`
//! (`tests/fixtures/host`), and the positions of the values that differ between requests.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    digits::{Device, SequenceNumber, Time},
    options::Options,
    telemetry::{self, NUMBER_AT},
};

/// A request's body.
pub(crate) struct Envelope {
    pub(crate) text: Vec<u8>,
    /// The positions of each event's values, in the batch's order.
    pub(crate) events: Vec<EventPositions<usize>>,
    /// The positions of the request's time and of its id.
    pub(crate) now_at: usize,
    pub(crate) guid_at: usize,
}

/// The positions of one event's variable values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EventPositions<T> {
    /// The device's number in the body's base64, unless the body is given.
    pub(crate) body: Option<T>,
    /// The device's number in each partition key.
    pub(crate) keys: [T; 3],
    pub(crate) sequence_numbers: [T; 3],
    pub(crate) times: [T; 3],
}

impl<T> EventPositions<T> {
    pub(crate) fn map<U>(self, mut to: impl FnMut(T) -> U) -> EventPositions<U> {
        EventPositions {
            body: self.body.map(&mut to),
            keys: self.keys.map(&mut to),
            sequence_numbers: self.sequence_numbers.map(&mut to),
            times: self.times.map(&mut to),
        }
    }
}

/// The distance between the offsets of two events; any plausible value.
const EVENT_BYTES: u64 = 416;

/// The length of a GUID.
pub(crate) const GUID_CHARS: usize = 36;

impl Envelope {
    /// Creates the envelope of these bodies. The variable values are placeholders of the final length.
    pub(crate) fn new(options: &Options, partition: u8, bodies: &[Vec<u8>]) -> Self {
        let mut envelope =
            Self { text: Vec::new(), events: vec![EventPositions::default(); bodies.len()], now_at: 0, guid_at: 0 };
        let key = telemetry::device_id(partition, Device(0));
        let number_in_key = key.len() - Device(0).digits().len();
        let (mut time, offset) = (Time::new(), |index: usize| 100_000_000_000 + index as u64 * EVENT_BYTES);
        let time = str::from_utf8(time.at(0)).expect("digits").to_owned();
        let sequence_number = "1".repeat(SequenceNumber::WIDTH);

        envelope.push("{\"Data\":{\"messages\":\"[");
        envelope.each("", "\\\"", "\\\"", |envelope, index| {
            envelope.events[index].body = options.body.is_none().then(|| envelope.text.len() + NUMBER_AT / 3 * 4);
            envelope.push(&BASE64.encode(&bodies[index]));
        });
        let context = format!(
            "{{\"IsCheckpointingAfterInvocation\":true,\"FullyQualifiedNamespace\":\"load.servicebus.windows.net\",\
             \"EventHubName\":\"telemetry\",\"ConsumerGroup\":\"$Default\",\"PartitionId\":\"{partition}\"}}"
        );
        envelope.push(&format!(
            "]\"}},\"Metadata\":{{\"TriggerPartitionContext\":{context},\"PartitionContext\":{context},"
        ));
        envelope.column("PartitionKeyArray", "\\\"", |envelope, index| {
            envelope.events[index].keys[0] = envelope.text.len() + number_in_key;
            envelope.push(&key);
        });
        for name in ["OffsetArray", "OffsetStringArray"] {
            envelope.column(name, "\\\"", |envelope, index| envelope.push(&offset(index).to_string()));
        }
        envelope.column("SequenceNumberArray", "", |envelope, index| {
            envelope.events[index].sequence_numbers[0] = envelope.text.len();
            envelope.push(&sequence_number);
        });
        envelope.column("EnqueuedTimeUtcArray", "\\\"", |envelope, index| {
            envelope.events[index].times[0] = envelope.text.len();
            envelope.push(&time);
        });
        envelope.column("PropertiesArray", "", |envelope, _| envelope.push("{}"));
        envelope.column("SystemPropertiesArray", "", |envelope, index| {
            let offset = offset(index).to_string();
            envelope.push("{");
            if let Some(content_type) = &options.content_type {
                envelope.push(&format!("\\\"content-type\\\":\\\"{content_type}\\\","));
            }
            envelope.push("\\\"x-opt-sequence-number\\\":");
            envelope.events[index].sequence_numbers[1] = envelope.text.len();
            envelope.push(&sequence_number);
            envelope.push(&format!(",\\\"x-opt-offset\\\":\\\"{offset}\\\",\\\"x-opt-enqueued-time\\\":\\\""));
            envelope.events[index].times[1] = envelope.text.len();
            envelope.push(&time);
            envelope.push("+00:00\\\",\\\"x-opt-partition-key\\\":\\\"");
            envelope.events[index].keys[1] = envelope.text.len() + number_in_key;
            envelope.push(&key);
            envelope.push("\\\",\\\"SequenceNumber\\\":");
            envelope.events[index].sequence_numbers[2] = envelope.text.len();
            envelope.push(&sequence_number);
            envelope.push(&format!(
                ",\\\"Offset\\\":{offset},\\\"OffsetString\\\":\\\"{offset}\\\",\\\"PartitionKey\\\":\\\""
            ));
            envelope.events[index].keys[2] = envelope.text.len() + number_in_key;
            envelope.push(&key);
            envelope.push("\\\",\\\"EnqueuedTimeUtc\\\":\\\"");
            envelope.events[index].times[2] = envelope.text.len();
            envelope.push(&time);
            envelope.push("\\\"}");
        });
        envelope.push(&format!("\"sys\":{{\"MethodName\":\"{}\",\"UtcNow\":\"", options.function));
        envelope.now_at = envelope.text.len();
        // The host writes seven fractional digits; the last four are arbitrary.
        envelope.push(&format!("{time}4567Z\",\"RandGuid\":\""));
        envelope.guid_at = envelope.text.len();
        envelope.push(&"0".repeat(GUID_CHARS));
        envelope.push(
            "\"},\"RetryContext\":{\"RetryCount\":0,\"MaxRetryCount\":-1,\"Exception\":null,\"Instance\":null,\
             \"State\":{}}}}",
        );
        envelope
    }

    fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Appends a metadata column: a JSON array in a string, and a comma.
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
