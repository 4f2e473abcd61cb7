//! The second way in on one machine: a Service Bus queue with sessions.

pub mod queue;
