//! What the content type of an event says about its body.

/// The format that a content type names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContentType {
    Json,
    CloudEvent,
    CloudEvents,
    /// With the id of the schema in `avro/binary+ID`.
    Avro(Option<String>),
    Protobuf,
    /// None, or one that says nothing: many senders set a default.
    Other,
}

impl ContentType {
    pub(super) fn parse(content_type: Option<&str>) -> Self {
        let Some(name) = content_type.and_then(|text| text.split(';').next()) else { return Self::Other };
        let name = name.trim();
        if name.eq_ignore_ascii_case("application/json") {
            return Self::Json;
        }
        // Routes of IoT Hub have devices that set the escaped form.
        let name = name.to_ascii_lowercase().replace("%2f", "/").replace("%2b", "+");
        if name.ends_with("/cloudevents+json") {
            Self::CloudEvent
        } else if name.ends_with("/cloudevents-batch+json") {
            Self::CloudEvents
        } else if name.ends_with("/json") || name.ends_with("+json") {
            Self::Json
        } else if name.contains("avro") {
            Self::Avro(name.strip_prefix("avro/binary+").map(str::to_owned))
        } else if name.contains("protobuf") {
            Self::Protobuf
        } else {
            Self::Other
        }
    }
}
