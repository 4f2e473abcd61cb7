//! How the host reads a queue with sessions, as the extension's session processor does: an instance holds `maxConcurrentSessions`
//! sessions, each until it is idle, and invokes the function for one message of a session after another. A message is completed
//! when its outputs are written, and abandoned when its invocation failed, or when the host stops.

use std::{collections::BTreeMap, sync::Arc};

use devicestate_engine::clock::{Clock as _, System};
use devicestate_live::PartitionFigures;
use tokio::task::JoinSet;

use super::{
    envelope,
    queue::{Abandoned, Delivery, Sent, SessionQueue, SessionReceiver},
};
use crate::{
    broker::{Broker, Metric, PartitionAssignment},
    endpoint::Endpoint,
    envelope::Retry,
    host::{Host, InvocationError},
    hub::{self, Property},
};

/// The session id of events without a partition key, because a queue with sessions accepts no message without one.
const SESSION_WITHOUT_KEY: &str = "without-a-key";

/// The longest session id that the service accepts, in characters.
const MAX_SESSION_ID_CHARACTERS: usize = 128;

impl Broker for SessionQueue {
    const PROVIDER: &'static str = "MICROSOFT.SERVICEBUS";

    async fn send(&self, sent: hub::Sent) {
        let hub::Sent { body, partition_key, content_type, message_id, system_properties, .. } = sent;
        let session_id = session_id(partition_key);
        let given = system_properties.into_iter().find_map(|(name, value)| match value {
            Property::Text(text) if name == "content-type" => Some(text.into()),
            _ => None,
        });
        let content_type = content_type.map(Into::into).or(given);
        SessionQueue::send(self, Sent { session_id, message_id, body, content_type }).await;
    }

    fn close(&self) {
        SessionQueue::close(self);
    }

    /// Any number of instances can accept sessions.
    fn max_instances(&self) -> usize {
        usize::MAX
    }

    fn partition_count(&self) -> Option<usize> {
        None
    }

    /// A queue has no partitions.
    fn waiting(&self, _: &BTreeMap<usize, i64>) -> Vec<PartitionFigures> {
        Vec::new()
    }

    async fn read(self: Arc<Self>, host: Arc<Host>, _: PartitionAssignment) {
        // Aborted when this is dropped: a killed host releases its sessions and their messages.
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

/// Accepts one session after another, until the host stops.
async fn pump(queue: Arc<SessionQueue>, host: Arc<Host>) {
    let idle = host.instance.host.extensions.service_bus.session_idle_timeout;
    let endpoint = host.endpoint();
    loop {
        let session = tokio::select! {
            biased;
            () = host.wait_for_stop() => return,
            session = queue.accept_next_session() => session,
        };
        let Some(session) = session else { return };
        loop {
            let delivery = tokio::select! {
                biased;
                () = host.wait_for_stop() => return,
                delivery = session.receive(idle) => delivery,
            };
            // If the lock is lost, the session and its messages belong to another receiver.
            let Ok(Some(delivery)) = delivery else { break };
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
    let result = host.invoke_with_retries(endpoint, true, request).await;
    // There is no await from here on, so the counts cannot differ from the queue's.
    let reason = match result {
        // The host looks whether it stops before it completes a message.
        Ok((accepted, _)) if host.is_stopping() => {
            instance.statistics.record_repeated_message(&accepted.logs);
            "the host stopped".to_owned()
        }
        Ok((accepted, took)) => {
            session.complete(delivery).expect("no lock expires while its host runs");
            instance.statistics.record_message(delivery, &accepted.logs, took, System.now_ms());
            return;
        }
        Err(InvocationError::LastAttempt(reason) | InvocationError::Cancelled(reason)) => reason,
    };
    // It is delivered again immediately.
    if session.abandon(delivery) == Ok(Abandoned::DeadLettered) {
        instance.statistics.record_dead_lettered_message(delivery, reason);
    }
}

#[cfg(test)]
mod tests {
    use devicestate_terminal::interrupt::Shutdown;
    use serde_json::json;

    use super::*;
    use crate::{sessions::queue::Options, test_host::TestHost};

    async fn queue_with_a_message() -> Arc<SessionQueue> {
        let queue = SessionQueue::new(Options::default());
        let message = Sent { session_id: "a".into(), body: b"poison".to_vec(), ..Sent::default() };
        SessionQueue::send(&queue, message).await;
        queue
    }

    #[tokio::test]
    async fn a_success_that_comes_after_a_stop_is_abandoned_and_the_message_is_delivered_again() {
        let queue = queue_with_a_message().await;
        let mut first = TestHost::new(true, |_| ()).await;
        let reading = first.read(&queue);
        let delivery = first.invocation().await;
        assert_eq!(delivery.metadata("DeliveryCount"), 1);
        first.shutdown.send_replace(Shutdown::Draining);
        first.settle().await;
        assert!(!reading.is_finished(), "the host waits for the message in hand");
        delivery.succeed();
        reading.await.expect("it ends");
        assert_eq!((queue.counts().active, first.dead_letters().await), (1, 1), "its outputs are written");
        assert_eq!(first.host.instance.statistics.batches().repeated, 1);

        let mut second = TestHost::new(true, |_| ()).await;
        let reading = second.read(&queue);
        let again = second.invocation().await;
        assert_eq!([again.metadata("DeliveryCount"), again.metadata("MessageId")], [json!(2), json!("1")]);
        queue.close();
        again.succeed();
        reading.await.expect("it ends");
        assert_eq!((queue.counts().active, second.dead_letters().await), (0, 1), "a poison message has two letters");
    }

    #[tokio::test]
    async fn a_failed_message_is_delivered_again_at_once_as_another_invocation_before_the_rest_of_its_session() {
        let queue = queue_with_a_message().await;
        SessionQueue::send(&queue, Sent { session_id: "a".into(), ..Sent::default() }).await;
        let mut host = TestHost::new(true, |_| ()).await;
        let reading = host.read(&queue);
        let mut deliveries = Vec::new();
        for count in 1..=4 {
            let delivery = host.invocation().await;
            deliveries.push([delivery.metadata("SequenceNumber"), delivery.metadata("DeliveryCount")]);
            assert_eq!(delivery.metadata("RetryContext"), json!(null));
            if count < 3 { delivery.fail() } else { delivery.succeed() }
        }
        assert_eq!(json!(deliveries), json!([[1, 1], [1, 2], [1, 3], [2, 1]]));
        queue.close();
        reading.await.expect("it ends");
    }

    #[test]
    fn a_session_id_is_the_partition_key_cut_to_128_characters() {
        assert_eq!(session_id(Some("drone-7".into())), "drone-7");
        assert_eq!(session_id(None), SESSION_WITHOUT_KEY);
        assert_eq!(session_id(Some("ä".repeat(128))), "ä".repeat(128));
        assert_eq!(session_id(Some("ä".repeat(129))), "ä".repeat(128));
    }
}
