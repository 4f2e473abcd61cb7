//! An operator who replays dead letters with the dead-letter tools.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use devicestate_dead_letters::{
    Action, AuditError, AuditLine, AuditTrail, AuditWriter, Filter, Outcome, QueueScan, Replay, ReplaySummary, Replayer,
};
use devicestate_engine::rate_limit::RateLimit;
use tokio::{sync::watch, time::Instant};

use super::{World, handler::new_processor, metrics::Count, store::Client};

/// The audit trail, in memory.
#[derive(Default)]
struct MemoryAuditTrail(Mutex<Vec<AuditLine>>);

#[async_trait]
impl AuditTrail for MemoryAuditTrail {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }

    fn location(&self) -> String {
        "the simulation".into()
    }
}

/// How long received messages are invisible. After the tool is killed, they become visible again this much later.
pub(crate) const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(10);

/// Replays all dead letters once and returns the result.
pub(crate) async fn replay(world: &Arc<World>) -> ReplaySummary {
    let store = Client::new(&world.store, &world.faults);
    let processor = Arc::new(new_processor(world, Arc::new(store), 0));
    let replayer = Replayer {
        processor,
        overflow: Some(Arc::clone(&world.overflow_store) as _),
        triggers: Vec::new(),
        accepts_other_telemetry: false,
    };
    let trail = Arc::new(MemoryAuditTrail::default());
    let audit = AuditWriter {
        trail: Arc::clone(&trail) as _,
        action: Action::Replay,
        operator: "an operator".into(),
        queue: "deadletterqueue".into(),
        store: None,
        edit: None,
        clock: Arc::clone(&world.clock) as _,
    };
    let rate_limit = RateLimit::new(None);
    let mut replay = Replay {
        replayer: &replayer,
        filter: &Filter::default(),
        edited: None,
        max_replays: u32::MAX,
        audit: Some(&audit),
        rate_limit,
        clock: &*world.clock,
        summary: ReplaySummary::default(),
    };
    let (_stop, stop) = watch::channel(false);
    let began = Instant::now();
    let scan = QueueScan {
        queue: &*world.queue,
        visibility_timeout: VISIBILITY_TIMEOUT,
        chunk_size: rate_limit.batch_size(32),
        stop,
        progress: &|_| (),
    };
    let (scanned, ended) = scan.run(&mut replay).await;
    let summary = replay.summary;
    world.clock.trace(|| format!("replayed in {:?}: {scanned:?} {summary:?} {ended:?}", began.elapsed()));
    world.clock.metrics.count(Count::Replayed, scanned.deleted);
    let is_done = |line: &&AuditLine| matches!(line.outcome, Outcome::Applied | Outcome::Superseded);
    let done = trail.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(is_done).count() as u64;
    if let Err(error) = ended {
        world.clock.record_violation(&format!("a replay failed although the queue did not: {error}"));
    }
    if done < scanned.deleted {
        world.clock.record_violation("a dead letter was deleted without a line in the audit trail");
    }
    summary
}
