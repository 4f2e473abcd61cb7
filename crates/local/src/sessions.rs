//! The second way in on one machine: a Service Bus queue with sessions, and the host's side of it.

pub mod envelope;
mod host;
pub mod queue;
