//! Writes protobuf field by field, so that tests can write messages that no library would.

/// A message under construction.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Creates a drone's message with this device id.
    pub fn with_device(device_id: &str) -> Self {
        Self::default().bytes(1, device_id.as_bytes())
    }

    /// Appends a varint field.
    pub fn varint(mut self, field: u64, value: u64) -> Self {
        self.push_varint(field << 3);
        self.push_varint(value);
        self
    }

    /// Appends a 64-bit field.
    pub fn double(mut self, field: u64, value: f64) -> Self {
        self.push_varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends a 32-bit field.
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.push_varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends a length-delimited field: a string or a message.
    pub fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.push_varint(field << 3 | 2);
        self.push_varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// Appends bytes unchanged.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Message> for Vec<u8> {
    fn from(message: Message) -> Self {
        message.0
    }
}
