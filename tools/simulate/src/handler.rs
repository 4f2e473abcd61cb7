//! The handler's process: the real handler, whose memory is lost when it is killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devicestate_engine::{
    dead_letter::OverflowCache,
    handler::Handler,
    processor::{DocumentCache, IotHubTime, Processor, Shared},
    retry_decision::Attempts,
    store::StateStore,
    telemetry::drone::Drone,
};
use tokio::time::Instant;

use super::{World, signal::Signal, store::Client};

/// A process that is restarted whenever it is killed.
pub(crate) struct Process(Mutex<Arc<Instance>>);

/// One instance of the process, from its start until it is killed.
pub(crate) struct Instance {
    pub(crate) handler: Handler,
    /// The number of its store client.
    pub(crate) client: u64,
    is_killed: Signal<bool>,
    ready_at: Instant,
}

/// The default of `DeadLetterAfterAttempts`.
const DEAD_LETTER_AFTER_ATTEMPTS: u32 = 5;

impl Process {
    pub(crate) fn start(world: &Arc<World>) -> Self {
        Self(Mutex::new(Arc::new(Instance::start(world))))
    }

    fn current(&self) -> MutexGuard<'_, Arc<Instance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the current instance is ready and returns it.
    pub(crate) async fn ready_instance(&self) -> Arc<Instance> {
        let instance = Arc::clone(&self.current());
        tokio::time::sleep_until(instance.ready_at).await;
        instance
    }

    /// Kills the process: work in progress stops immediately, and a new process starts.
    pub(crate) fn kill(&self, world: &Arc<World>) {
        let mut current = self.current();
        current.is_killed.change(|is_killed| *is_killed = true);
        *current = Arc::new(Instance::start(world));
    }
}

impl Instance {
    fn start(world: &Arc<World>) -> Self {
        let client = Client::new(&world.store, &world.faults);
        let number = client.number;
        let handler = Handler {
            function: world.function.clone(),
            processor: Arc::new(new_processor(world, Arc::new(client), world.schedule.cache_bytes)),
            overflow: Some(OverflowCache::new(Arc::clone(&world.overflow_store) as _)),
            attempts: Attempts::new(DEAD_LETTER_AFTER_ATTEMPTS),
            retry_drill: None,
        };
        let ready_at = Instant::now() + world.clock.random_millis(500);
        Self { handler, client: number, is_killed: Signal::new(false), ready_at }
    }

    /// Waits until the process is killed.
    pub(crate) async fn wait_until_killed(&self) {
        self.is_killed.until(|is_killed| is_killed).await;
    }
}

/// Creates the real engine on top of a store client.
pub(crate) fn new_processor(world: &World, store: Arc<dyn StateStore>, cache_bytes: u64) -> Processor {
    Processor {
        telemetry: Arc::new(Drone::default()),
        store,
        iot_hub_time: IotHubTime::Enqueued,
        cache: DocumentCache::new(cache_bytes),
        clock: Arc::clone(&world.clock) as _,
        random: Arc::clone(&world.clock) as _,
        observer: Arc::new(()),
        budget: world.schedule.budget,
        concurrency: world.schedule.concurrency,
        shared: Shared::default(),
    }
}
