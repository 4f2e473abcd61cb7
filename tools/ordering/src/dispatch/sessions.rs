//! Messages of sessions, as the Service Bus extension hands them to a function: so many sessions at the same time, each
//! until nothing is left in it, and within it one message after the other. A message whose invocation fails is abandoned:
//! it comes again, first in its session.

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
    // Aborted when this is dropped.
    let mut pumps = JoinSet::new();
    for _ in 0..host.plan.max_sessions {
        let (host, queue) = (Arc::clone(host), Arc::clone(queue));
        pumps.spawn(async move {
            while let Some(session) = next(&host, &queue).await {
                drain(&host, &session).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = pumps.join_next().await {
        ended.expect("no panic, and nobody aborts it")?;
    }
    Ok(())
}

/// The next session that is free. While there is none this reader is not busy.
async fn next(host: &Host, queue: &Arc<SessionQueue>) -> Option<SessionReceiver> {
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

/// One message after the other, until nothing is left: nobody sends any more, so nobody waits for one.
async fn drain(host: &Host, session: &SessionReceiver) -> Result<(), Error> {
    const OWNED: &str = "no lock expires while its host lives";
    while let Some(delivery) = session.receive(std::time::Duration::ZERO).await.expect(OWNED) {
        let request = envelope::request(&host.function, "ordering.local", &delivery, System.now_ms());
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
