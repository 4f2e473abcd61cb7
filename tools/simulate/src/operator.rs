//! A person with the dead-letter tools.

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

use super::{World, book::Count, handler::engine, store::Client};

/// The lines of the audit trail.
#[derive(Default)]
struct Trail(Mutex<Vec<AuditLine>>);

#[async_trait]
impl Audit for Trail {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }

    fn place(&self) -> String {
        "the simulation".into()
    }
}

/// For how long messages are hidden from others, and so from everybody when the tool is killed.
pub(crate) const HIDDEN: Duration = Duration::from_mins(10);

/// Replays all dead letters once, and tells what it came to.
pub(crate) async fn replay(world: &Arc<World>) -> Tally {
    let store = Client::new(&world.store, &world.weather);
    let processor = Arc::new(engine(world, Arc::new(store), 0));
    let replayer = Replayer { processor, overflow: Some(Arc::clone(&world.shelf) as _), triggers: Vec::new() };
    let trail = Arc::new(Trail::default());
    let audit = Auditor {
        trail: Arc::clone(&trail) as _,
        action: Action::Replay,
        who: "a person".into(),
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
    let hidden = HIDDEN;
    let began = Instant::now();
    let sweep = Sweep { queue: &*world.queue, hidden, together: rate_limit.batch_size(32), stop, progress: &|_| () };
    let (swept, ended) = sweep.run(&mut redrive).await;
    let tally = redrive.tally;
    world.clock.trace(|| format!("replayed in {:?}: {swept:?} {tally:?} {ended:?}", began.elapsed()));
    world.clock.book.count(Count::Replayed, swept.deleted);
    let is_done = |line: &&AuditLine| matches!(line.outcome, Outcome::Applied | Outcome::Superseded);
    let done = trail.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(is_done).count() as u64;
    if let Err(error) = ended {
        world.clock.violation(&format!("a replay broke off, though the queue did not: {error}"));
    }
    if done < swept.deleted {
        world.clock.violation("a dead letter was deleted without a line in the audit trail");
    }
    tally
}
