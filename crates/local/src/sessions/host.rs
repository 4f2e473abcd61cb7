//! How the host reads a queue with sessions, as the extension's session processor does: an instance holds `maxConcurrentSessions`
//! sessions, each until it is idle, and invokes the function for one message of a session after another. A message is completed
//! when its outputs are written, and abandoned when its invocation failed.

use std::sync::Arc;

use devicestate_engine::clock::{Clock as _, System};
use tokio::task::JoinSet;

use super::{
    envelope,
    queue::{Abandoned, Delivery, Sent, SessionQueue, SessionReceiver},
};
use crate::{
    broker::{Broker, Metric, PartitionAssignment},
    endpoint::Endpoint,
    envelope::Retry,
    host::Host,
    hub,
};

/// The session id of events without a partition key, because a queue with sessions accepts no message without one.
const SESSION_WITHOUT_KEY: &str = "without-a-key";

/// The longest session id that the service accepts, in characters.
const MAX_SESSION_ID_CHARACTERS: usize = 128;

impl Broker for SessionQueue {
    const PROVIDER: &'static str = "MICROSOFT.SERVICEBUS";

    async fn send(&self, sent: hub::Sent) {
        let hub::Sent { body, partition_key, content_type, .. } = sent;
        let session_id = session_id(partition_key);
        SessionQueue::send(self, Sent { session_id, message_id: None, body, content_type }).await;
    }

    fn close(&self) {
        SessionQueue::close(self);
    }

    /// Any number of instances can accept sessions.
    fn max_instances(&self) -> usize {
        usize::MAX
    }

    async fn read(self: Arc<Self>, host: Arc<Host>, _: PartitionAssignment) {
        // Aborted when this is dropped: a stopped host releases its sessions and their messages.
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

/// Returns the session id of an event: its partition key, cut to the longest session id. Two keys with the same beginning then
/// share a session, which keeps the order of both.
fn session_id(partition_key: Option<String>) -> String {
    let key = partition_key.unwrap_or_else(|| SESSION_WITHOUT_KEY.to_owned());
    match key.char_indices().nth(MAX_SESSION_ID_CHARACTERS) {
        Some((end, _)) => key[..end].to_owned(),
        None => key,
    }
}

/// Accepts one session after another.
async fn pump(queue: Arc<SessionQueue>, host: Arc<Host>) {
    let idle = host.instance.host.extensions.service_bus.session_idle_timeout;
    let endpoint = host.endpoint();
    while let Some(session) = queue.accept_next_session().await {
        // If the lock is lost, the session and its messages belong to another receiver.
        while let Ok(Some(delivery)) = session.receive(idle).await {
            deliver(&host, &endpoint, &session, &delivery).await;
        }
    }
}

/// Invokes the function for a delivery, and completes or abandons the message.
async fn deliver(host: &Host, endpoint: &Endpoint, session: &SessionReceiver, delivery: &Delivery) {
    let instance = &host.instance;
    let namespace = &instance.source.fully_qualified_namespace;
    let request =
        |retry: Option<&Retry>| Ok(envelope::request(&instance.function, namespace, delivery, retry, System.now_ms()));
    let result = host.invoke_with_retries(endpoint, request).await;
    // There is no await from here on, so the counts cannot differ from the queue's.
    match result {
        Ok((accepted, took)) => {
            session.complete(delivery).expect("no lock expires while its host runs");
            instance.statistics.record_message(delivery, &accepted.logs, took, System.now_ms());
        }
        Err(reason) => {
            if session.abandon(delivery) == Ok(Abandoned::DeadLettered) {
                instance.statistics.record_dead_lettered_message(delivery, reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_the_partition_key_cut_to_128_characters() {
        assert_eq!(session_id(Some("drone-7".into())), "drone-7");
        assert_eq!(session_id(None), SESSION_WITHOUT_KEY);
        assert_eq!(session_id(Some("ä".repeat(128))), "ä".repeat(128));
        assert_eq!(session_id(Some("ä".repeat(129))), "ä".repeat(128));
    }
}
