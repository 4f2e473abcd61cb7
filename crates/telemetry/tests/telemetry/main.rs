//! The telemetry of any device.

mod avro;
mod events;
mod protobuf;
mod unwrapping;
