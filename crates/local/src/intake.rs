//! Where events wait for the hosts: what producers send to, and what instances of the function app read.

use std::sync::Arc;

use super::{host::Host, hub::Sent};

/// An event hub, or a queue with sessions.
pub(super) trait Intake: Send + Sync + 'static {
    /// The service whose metrics [`Intake::metrics`] are.
    const PROVIDER: &'static str;

    /// Sends an event. Waits while there is no room for it.
    fn send(&self, sent: Sent) -> impl Future<Output = ()> + Send;

    /// Says that nothing is sent any more: who reads ends when everything is done with.
    fn close(&self);

    /// How many instances find something to do at the same time.
    fn most_instances(&self) -> usize;

    /// Reads an instance's share of it, as long as its host lives, or until it is closed and everything is done with.
    /// Dropped, it leaves what is under way to whoever reads next.
    fn read(self: Arc<Self>, host: Arc<Host>, share: Share) -> impl Future<Output = ()> + Send;

    /// What the service tells of it.
    fn metrics(&self) -> Vec<Metric>;
}

/// Which of so many instances one is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Its number, from 0.
    pub(super) number: usize,
    /// How many there are.
    pub(super) of: usize,
}

/// A metric by the name that the service gives it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Metric {
    /// How many there were since the beginning; what is told is how many more there are.
    Count(&'static str, u64),
    /// How many there are now.
    Level(&'static str, u64),
}
