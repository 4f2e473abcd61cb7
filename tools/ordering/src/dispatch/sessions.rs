//! Reads messages from sessions, like the Service Bus extension: several sessions in parallel, each until it is empty, one
//! message after another. A message with a failed invocation is abandoned and redelivered first in its session.

use std::sync::Arc;

use devicestate_engine::clock::{Clock as _, System};
use devicestate_local::sessions::{
    envelope,
    queue::{Abandoned, SessionQueue, SessionReceiver},
};
use tokio::task::JoinSet;

use super::Host;
use crate::error::Error;

/// Reads every session to its end.
pub(super) async fn read(host: &Arc<Host>, queue: &Arc<SessionQueue>) -> Result<(), Error> {
    host.busy.send_replace(host.plan.max_sessions);
    // Dropping the set aborts the tasks.
    let mut pumps = JoinSet::new();
    for _ in 0..host.plan.max_sessions {
        let (host, queue) = (Arc::clone(host), Arc::clone(queue));
        pumps.spawn(async move {
            while let Some(session) = next_session(&host, &queue).await {
                drain(&host, &session).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = pumps.join_next().await {
        ended.expect("the task neither panics nor is aborted")?;
    }
    Ok(())
}

/// Waits for the next free session. While no session is free, this reader is not busy.
async fn next_session(host: &Host, queue: &Arc<SessionQueue>) -> Option<SessionReceiver> {
    tokio::select! {
        biased;
        session = queue.accept_next_session() => return session,
        () = std::future::ready(()) => {}
    }
    host.busy.send_modify(|busy| *busy -= 1);
    let session = queue.accept_next_session().await;
    if session.is_some() {
        host.busy.send_modify(|busy| *busy += 1);
    }
    session
}

/// Processes the messages of a session until it is empty. All messages are already in the queue.
async fn drain(host: &Host, session: &SessionReceiver) -> Result<(), Error> {
    const OWNED: &str = "the lock does not expire while its host runs";
    while let Some(delivery) = session.receive(std::time::Duration::ZERO).await.expect(OWNED) {
        let request = envelope::request(&host.function, "ordering.local", &delivery, None, System.now_ms());
        let invocation_id = uuid::Uuid::new_v4().to_string();
        match host.attempt(&invocation_id, request).await {
            Ok(()) => session.complete(&delivery).expect(OWNED),
            Err(reason) if session.abandon(&delivery) == Ok(Abandoned::DeadLettered) => {
                return Err(Error::Invocation(reason));
            }
            Err(_) => {}
        }
    }
    Ok(())
}
