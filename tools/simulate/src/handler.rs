//! The handler's process: the real handler, with a memory that is gone when it is killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devicestate_engine::{
    dead_letter::OverflowCache,
    handler::Handler,
    processor::{DocumentCache, Processor, Shared},
    retry_decision::Attempts,
    store::StateStore,
    telemetry::drone::Drone,
};
use tokio::time::Instant;

use super::{World, signal::Signal, store::Client};

/// A process that is started again whenever it is killed.
pub(crate) struct Process(Mutex<Arc<Life>>);

/// One life of it.
pub(crate) struct Life {
    pub(crate) handler: Handler,
    /// The number of its client of the store.
    pub(crate) client: u64,
    is_over: Signal<bool>,
    ready_at: Instant,
}

/// `DeadLetterAfterAttempts`, as it is where nobody sets it.
const DEAD_LETTER_AFTER_ATTEMPTS: u32 = 5;

impl Process {
    pub(crate) fn start(world: &Arc<World>) -> Self {
        Self(Mutex::new(Arc::new(Life::begin(world))))
    }

    fn current(&self) -> MutexGuard<'_, Arc<Life>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process as it is now, once it is ready.
    pub(crate) async fn life(&self) -> Arc<Life> {
        let life = Arc::clone(&self.current());
        tokio::time::sleep_until(life.ready_at).await;
        life
    }

    /// SIGKILL. What was under way stops where it is, and a new process starts.
    pub(crate) fn kill(&self, world: &Arc<World>) {
        let mut current = self.current();
        current.is_over.change(|is_over| *is_over = true);
        *current = Arc::new(Life::begin(world));
    }
}

impl Life {
    fn begin(world: &Arc<World>) -> Self {
        let client = Client::new(&world.store, &world.weather);
        let number = client.number;
        let handler = Handler {
            function: world.function.clone(),
            processor: Arc::new(engine(world, Arc::new(client), world.plan.cache_bytes)),
            overflow: Some(OverflowCache::new(Arc::clone(&world.shelf) as _)),
            attempts: Attempts::new(DEAD_LETTER_AFTER_ATTEMPTS),
            retry_drill: None,
        };
        let ready_at = Instant::now() + world.clock.millis(500);
        Self { handler, client: number, is_over: Signal::new(false), ready_at }
    }

    /// Ends when the process is killed.
    pub(crate) async fn over(&self) {
        self.is_over.until(|is_over| is_over).await;
    }
}

/// The real engine over a client of the store.
pub(crate) fn engine(world: &World, store: Arc<dyn StateStore>, cache_bytes: u64) -> Processor {
    Processor {
        telemetry: Arc::new(Drone::default()),
        store,
        cache: DocumentCache::new(cache_bytes),
        clock: Arc::clone(&world.clock) as _,
        random: Arc::clone(&world.clock) as _,
        observer: Arc::new(()),
        budget: world.plan.budget,
        concurrency: world.plan.concurrency,
        shared: Shared::default(),
    }
}
