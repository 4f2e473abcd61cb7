//! The host's side of a queue with sessions, as the extension's session processor does it: an instance has so many
//! sessions at the same time, each until nothing comes in it for a while; within a session it calls the function with one
//! message after the other. A message is completed when its outputs are written, and abandoned when its call has failed.

use std::sync::Arc;

use devicestate_engine::clock::{Clock as _, System};
use tokio::{task::JoinSet, time::Instant};

use super::{
    envelope,
    queue::{Abandoned, Delivery, Sent, SessionQueue, SessionReceiver},
};
use crate::{
    endpoint::Endpoint,
    host::Host,
    hub,
    intake::{Intake, Metric, Share},
};

/// The session of what has no partition key. A queue with sessions takes nothing without one, and whose event it is the
/// handler finds out by itself, or that it is nobody's.
const WITHOUT_KEY: &str = "without-a-key";

/// The longest session id that the service takes, in characters.
const LONGEST_SESSION_ID: usize = 128;

impl Intake for SessionQueue {
    const PROVIDER: &'static str = "MICROSOFT.SERVICEBUS";

    async fn send(&self, sent: hub::Sent) {
        let hub::Sent { body, partition_key, content_type } = sent;
        let session_id = session_id(partition_key);
        SessionQueue::send(self, Sent { session_id, message_id: None, body, content_type }).await;
    }

    fn close(&self) {
        SessionQueue::close(self);
    }

    /// Whoever is free gets the next session.
    fn most_instances(&self) -> usize {
        usize::MAX
    }

    async fn read(self: Arc<Self>, host: Arc<Host>, _: Share) {
        // Aborted when this is dropped: a host that goes leaves its sessions, with what it has in hand.
        let mut pumps = JoinSet::new();
        for _ in 0..host.instance.host.extensions.service_bus.max_concurrent_sessions {
            pumps.spawn(pump(Arc::clone(&self), Arc::clone(&host)));
        }
        while pumps.join_next().await.is_some() {}
    }

    fn metrics(&self) -> Vec<Metric> {
        let counts = self.counts();
        vec![
            Metric::Count("IncomingMessages", counts.incoming),
            Metric::Level("ActiveMessages", counts.active),
            Metric::Level("DeadletteredMessages", counts.dead_lettered),
        ]
    }
}

/// The session of an event: its partition key, as far as a session id may be that long. Two that begin alike then share a
/// session, which harms the order of neither.
fn session_id(partition_key: Option<String>) -> String {
    let key = partition_key.unwrap_or_else(|| WITHOUT_KEY.to_owned());
    match key.char_indices().nth(LONGEST_SESSION_ID) {
        Some((end, _)) => key[..end].to_owned(),
        None => key,
    }
}

/// Takes one session after the other.
async fn pump(queue: Arc<SessionQueue>, host: Arc<Host>) {
    let idle = host.instance.host.extensions.service_bus.session_idle_timeout;
    let endpoint = host.endpoint();
    while let Some(session) = queue.accept_next_session().await {
        // One whose lock is lost is another one's, with its messages.
        while let Ok(Some(delivery)) = session.receive(idle).await {
            deliver(&host, &endpoint, &session, &delivery).await;
        }
    }
}

/// One delivery: an invocation of its own, and what becomes of the message.
async fn deliver(host: &Host, endpoint: &Endpoint, session: &SessionReceiver, delivery: &Delivery) {
    let instance = &host.instance;
    let invocation_id = uuid::Uuid::new_v4().to_string();
    let namespace = &instance.source.fully_qualified_namespace;
    let request = || Ok(envelope::request(&instance.function, namespace, delivery, System.now_ms()));
    let started = Instant::now();
    let result = host.invoke(endpoint, &invocation_id, request).await;
    // Nothing is awaited from here on, so that the counts cannot differ from what the queue knows.
    match result {
        Ok(accepted) => {
            session.complete(delivery).expect("no lock expires while its host lives");
            instance.statistics.completed(delivery, &accepted.logs, started.elapsed(), System.now_ms());
        }
        Err(reason) => {
            if session.abandon(delivery) == Ok(Abandoned::DeadLettered) {
                instance.statistics.given_up(delivery, reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_the_partition_key_as_far_as_the_service_takes_it() {
        assert_eq!(session_id(Some("drone-7".into())), "drone-7");
        assert_eq!(session_id(None), WITHOUT_KEY);
        assert_eq!(session_id(Some("ä".repeat(128))), "ä".repeat(128));
        assert_eq!(session_id(Some("ä".repeat(129))), "ä".repeat(128));
    }
}
