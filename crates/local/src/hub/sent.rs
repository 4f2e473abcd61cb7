//! An event as a producer sends it.

/// An event as a producer sends it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    /// The body.
    pub body: Vec<u8>,
    /// Events with the same key are in one partition, in order. Events without a key go to the partitions in turn.
    pub partition_key: Option<String>,
    /// The partition to which it is sent, whatever its key.
    pub partition: Option<usize>,
    /// The content type.
    pub content_type: Option<&'static str>,
    /// The message id.
    pub message_id: Option<String>,
    /// The correlation id.
    pub correlation_id: Option<String>,
    /// The application properties, in the producer's order.
    pub properties: Vec<(String, Property)>,
    /// System properties that the service has set in an earlier hub, such as those of a message that came through an IoT Hub.
    pub system_properties: Vec<(String, Property)>,
    /// How many records [`pack`](crate::packing::pack) has added to the body.
    pub further_records: u32,
    /// What IoT Hub says the event is, for example `twinChangeEvents`; `None` for a producer of the hub.
    pub message_source: Option<&'static str>,
}

/// The value of an application property.
#[derive(Debug, Clone, PartialEq)]
pub enum Property {
    /// A text.
    Text(String),
    /// An integer of any width.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// A boolean.
    Boolean(bool),
    /// A time in milliseconds since 1970.
    Time(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Null.
    Null,
}

impl Sent {
    /// Returns the bytes of its body, its properties and its other texts.
    pub(super) fn bytes(&self) -> usize {
        let properties = self.properties.iter().chain(&self.system_properties);
        let properties: usize = properties.map(|(name, value)| name.len() + value.bytes()).sum();
        let texts = [&self.partition_key, &self.message_id, &self.correlation_id];
        self.body.len() + properties + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

impl Property {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => size_of::<Self>(),
        }
    }
}
