//! An operator who replays dead letters with the dead-letter tools.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use devicestate_dead_letters::{
    Action, Audit, AuditError, AuditLine, Auditor, Filter, Outcome, Redrive, Replayer, Sweep, Tally,
};
use devicestate_engine::rate_limit::RateLimit;
use tokio::{sync::watch, time::Instant};

use super::{World, handler::engine, metrics::Count, store::Client};

/// The audit trail, in memory.
#[derive(Default)]
struct AuditTrail(Mutex<Vec<AuditLine>>);

#[async_trait]
impl Audit for AuditTrail {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }

    fn place(&self) -> String {
        "the simulation".into()
    }
}

/// How long received messages are invisible. After the tool is killed, they become visible again this much later.
pub(crate) const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(10);

/// Replays all dead letters once and returns the result.
pub(crate) async fn replay(world: &Arc<World>) -> Tally {
    let store = Client::new(&world.store, &world.faults);
    let processor = Arc::new(engine(world, Arc::new(store), 0));
    let replayer = Replayer { processor, overflow: Some(Arc::clone(&world.overflow_store) as _), triggers: Vec::new() };
    let trail = Arc::new(AuditTrail::default());
    let audit = Auditor {
        trail: Arc::clone(&trail) as _,
        action: Action::Replay,
        who: "an operator".into(),
        queue: "deadletterqueue".into(),
        store: None,
        edit: None,
        clock: Arc::clone(&world.clock) as _,
    };
    let rate_limit = RateLimit::new(None);
    let mut redrive = Redrive {
        replayer: &replayer,
        filter: &Filter::default(),
        edited: None,
        most_replays: u32::MAX,
        audit: Some(&audit),
        rate_limit,
        clock: &*world.clock,
        tally: Tally::default(),
    };
    let (_stop, stop) = watch::channel(false);
    let hidden = VISIBILITY_TIMEOUT;
    let began = Instant::now();
    let sweep = Sweep { queue: &*world.queue, hidden, together: rate_limit.batch_size(32), stop, progress: &|_| () };
    let (swept, ended) = sweep.run(&mut redrive).await;
    let tally = redrive.tally;
    world.clock.trace(|| format!("replayed in {:?}: {swept:?} {tally:?} {ended:?}", began.elapsed()));
    world.clock.metrics.count(Count::Replayed, swept.deleted);
    let is_done = |line: &&AuditLine| matches!(line.outcome, Outcome::Applied | Outcome::Superseded);
    let done = trail.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(is_done).count() as u64;
    if let Err(error) = ended {
        world.clock.violation(&format!("a replay failed although the queue did not: {error}"));
    }
    if done < swept.deleted {
        world.clock.violation("a dead letter was deleted without a line in the audit trail");
    }
    tally
}
