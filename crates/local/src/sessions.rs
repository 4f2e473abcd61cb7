//! The Service Bus path: a queue with sessions, and how the host reads it.

pub mod envelope;
mod host;
pub mod queue;
