//! The handler's process: the real handler, whose memory is lost when it is killed.

use std::{
    collections::BTreeSet,
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use devicestate_engine::{
    dead_letter::OverflowCache,
    handler::{Handler, Response},
    processor::{DocumentCache, IotHubTime, Processor, Shared},
    retry_decision::Attempts,
    store::StateStore,
};
use tokio::{select, time::Instant};

use super::{World, signal::Signal, store::Client};

/// A process, which the host restarts whenever it ends.
pub(crate) struct Process(Mutex<Arc<Instance>>);

/// One instance of the process, from its start until it is killed.
pub(crate) struct Instance {
    pub(crate) handler: Handler,
    /// The number of its store client.
    pub(crate) client: u64,
    is_killed: Signal<bool>,
    ready_at: Instant,
    /// The devices of all batches that came for the [`DEAD_LETTER_AFTER_ATTEMPTS`]th time or more.
    long_tried: Mutex<BTreeSet<String>>,
}

/// The default of `DeadLetterAfterAttempts`.
pub(crate) const DEAD_LETTER_AFTER_ATTEMPTS: u32 = 5;

/// `MaxReadings`, which no document of a fleet reaches.
pub(crate) const MAX_READINGS: usize = 10;

/// Why a process ended, which decides when the host's next one serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It crashed.
    Crash,
    /// The host killed it after `functionTimeout`.
    TimeOut,
}

impl Process {
    pub(crate) fn start(world: &Arc<World>) -> Self {
        Self(Mutex::new(Arc::new(Instance::start(world, world.clock.random_millis(500)))))
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

    /// Ends the process: work in progress stops immediately.
    pub(crate) fn kill(&self) {
        self.current().is_killed.change(|is_killed| *is_killed = true);
    }

    /// Kills the process, and starts a new one as the host does.
    pub(crate) fn restart(&self, world: &Arc<World>, end: End) {
        self.kill();
        let delay = match end {
            End::Crash => Duration::from_millis(100) + world.clock.random_millis(50),
            End::TimeOut => Duration::from_secs(2),
        };
        *self.current() = Arc::new(Instance::start(world, delay));
    }
}

impl Instance {
    /// Starts an instance that is ready after this delay.
    fn start(world: &Arc<World>, delay: Duration) -> Self {
        let client = Client::new(&world.store, &world.faults);
        let number = client.number;
        let handler = Handler {
            function: world.function.clone(),
            processor: Arc::new(new_processor(world, Arc::new(client), world.schedule.cache_bytes)),
            overflow: Some(OverflowCache::new(Arc::clone(&world.overflow_store) as _)),
            attempts: Attempts::new(DEAD_LETTER_AFTER_ATTEMPTS),
            retry_drill: None,
        };
        let ready_at = Instant::now() + delay;
        Self { handler, client: number, is_killed: Signal::new(false), ready_at, long_tried: Mutex::default() }
    }

    /// Invokes the handler; returns `None` if the process is killed before it responds. The call goes on if the caller ends:
    /// the handler outlives its host for a while.
    pub(crate) async fn invoke(self: &Arc<Self>, id: &str, request: Bytes) -> Option<Response> {
        let (instance, id) = (Arc::clone(self), id.to_owned());
        let call = tokio::spawn(async move {
            select! {
                biased;
                () = instance.wait_until_killed() => None,
                response = instance.handler.invoke(&id, &request) => Some(response),
            }
        });
        call.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Waits until the process is killed.
    pub(crate) async fn wait_until_killed(&self) {
        self.is_killed.until(|is_killed| is_killed).await;
    }

    /// Records the devices of a batch that is tried for as long as a faulty device is.
    pub(crate) fn add_long_tried<'a>(&self, devices: impl Iterator<Item = &'a str>) {
        let mut long_tried = self.long_tried.lock().unwrap_or_else(PoisonError::into_inner);
        long_tried.extend(devices.map(str::to_owned));
    }

    pub(crate) fn is_long_tried(&self, device: &str) -> bool {
        self.long_tried.lock().unwrap_or_else(PoisonError::into_inner).contains(device)
    }
}

/// Creates the real engine on top of a store client.
pub(crate) fn new_processor(world: &World, store: Arc<dyn StateStore>, cache_bytes: u64) -> Processor {
    Processor {
        telemetry: Arc::clone(&world.telemetry),
        store,
        iot_hub_time: IotHubTime::Enqueued,
        cache: DocumentCache::new(cache_bytes),
        clock: Arc::clone(&world.clock) as _,
        random: Arc::clone(&world.clock) as _,
        observer: Arc::new(()),
        budget: world.schedule.budget,
        concurrency: world.schedule.concurrency,
        heard_every: world.schedule.heard_every,
        max_readings: MAX_READINGS,
        shared: Shared::default(),
    }
}
