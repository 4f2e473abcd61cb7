//! A deterministic simulation of the system in one process: devices, partitioned hubs in two regions, hosts with leases
//! and the platform's contract, a faulty store, operators with the dead-letter tools, and injected faults between them. The
//! handler is the real one. There is no real clock, no network, and no randomness other than the seed's.
//!
//! The checks (module `checks`) use only the input and the output of the system:
//!
//! * each event is accounted for exactly once: in its device's document, or as a dead letter with its own bytes;
//! * no stored version decreases, except by a failover that loses writes;
//! * the documents equal a plain fold of all events, and hold what each device sent last, although clocks step back and an
//!   IoT Hub repeats itself;
//! * each reply can be read by the host, has consistent counts, and arrives in time;
//! * no event is dead-lettered because of a fault of the store.
//!
//! At the end of a run all faults are cleared, all events are read, and all dead letters are replayed. An event that is
//! still missing then is permanently lost.
//!
//! # Where to begin
//!
//! [`run`] runs one seed; [`run_seeds`] runs many. `schedule` draws the size of the system and its incidents, and `incidents`
//! runs them.
//!
//! # Layout
//!
//! * Devices: `fleet`, `expected`. Platform: `hub`, `owners`, `host`, `pump`, `attempt`, `regions`, `queue`, `store`. The real product:
//!   `handler`, `operator`.
//! * Faults: `schedule`, `faults`, `incidents`. Results: `checks`, `metrics`, `seeds`.
//! * Determinism: `clock` (time and random numbers), `signal` (waiting in a fixed order).
#![allow(missing_docs, clippy::must_use_candidate, reason = "only its command and its tests use this library")]

mod attempt;
mod checks;
mod clock;
mod expected;
mod faults;
mod fleet;
mod handler;
mod host;
mod hub;
mod incidents;
mod metrics;
mod operator;
mod owners;
mod pump;
mod queue;
mod regions;
mod schedule;
mod seeds;
mod signal;
mod store;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate_engine::{
    clock::Clock as _,
    function_app::{Function, FunctionApp, RetryPolicy},
    settings::Settings,
    telemetry::Telemetry,
};
use fastrand::Rng;
use tokio::time::{sleep, timeout};

use clock::SimulatedClock;
use faults::FaultInjector;
use fleet::Fleet;
use hub::Hub;
use metrics::Metrics;
use queue::{OverflowStore, Queue};
use regions::Region;
use schedule::{Policy, Schedule};
use store::Service;

pub use metrics::{Count, Counts, Fault};
pub use seeds::{Failure, run_seeds};

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    /// How often each thing happened.
    pub counts: Counts,
    /// The violations that the checks found.
    pub violations: Vec<String>,
    /// A hash of the result: two runs of one seed have the same.
    pub digest: u64,
    /// The steps of a traced run, otherwise empty.
    pub steps: Vec<String>,
}

/// Runs the simulation for this seed, with about `events` events.
///
/// # Panics
///
/// If this repository's function app cannot be read.
pub fn run(seed: u64, events: usize, is_traced: bool) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut rng = Rng::with_seed(seed);
        let schedule = Schedule::new(&mut rng, events);
        let fleet = Fleet::new(rng.fork(), schedule.devices, schedule.kind);
        let clock = Arc::new(SimulatedClock::new(rng, Metrics::new(is_traced)));
        clock.trace(|| format!("{schedule:#?}"));
        let world = Arc::new(World::new(schedule, fleet, clock));
        world.run().await;
        world.outcome()
    })
}

/// The simulated system.
struct World {
    schedule: Schedule,
    telemetry: Arc<dyn Telemetry>,
    clock: Arc<SimulatedClock>,
    function: Function,
    function_timeout: Duration,
    faults: Arc<FaultInjector>,
    store: Arc<Service>,
    queue: Arc<Queue>,
    overflow_store: Arc<OverflowStore>,
    hubs: [Hub; 2],
    regions: Mutex<[Region; 2]>,
    fleet: Mutex<Fleet>,
    /// The region whose hub producers send to.
    alias: AtomicUsize,
}

/// How long the system may take to process all events after the last fault. The longest delay of the shipped retry policy is
/// one minute, and `functionTimeout` is five minutes.
const MAX_IDLE_WAIT: Duration = Duration::from_hours(2);

impl World {
    fn new(schedule: Schedule, fleet: Fleet, clock: Arc<SimulatedClock>) -> Self {
        let app = FunctionApp::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")), &Settings::default())
            .expect("the function app of this repository");
        let mut function = app.functions.into_iter().next().expect("its function");
        let fixed_delay =
            |max_retry_count| RetryPolicy::FixedDelay { max_retry_count, delay_interval: Duration::from_secs(2) };
        match schedule.policy {
            Policy::Shipped => {}
            Policy::Finite(retry_count) => function.retry = Some(fixed_delay(retry_count)),
            Policy::None => function.retry = None,
        }
        let faults = Arc::new(FaultInjector::new(Arc::clone(&clock), schedule.rates));
        let hub = |region| Hub::new(&clock, region, &schedule);
        let region = || Region::new(schedule.partitions);
        Self {
            telemetry: schedule.kind.telemetry(),
            function,
            function_timeout: app.host.function_timeout.expect("host.json has a functionTimeout"),
            store: Arc::new(Service::new(Arc::clone(&clock), schedule.heard_every)),
            queue: Arc::new(Queue::new(&clock)),
            overflow_store: Arc::new(OverflowStore::new(&clock, &faults)),
            hubs: [hub(0), hub(1)],
            regions: Mutex::new([region(), region()]),
            fleet: Mutex::new(fleet),
            alias: AtomicUsize::new(0),
            faults,
            clock,
            schedule,
        }
    }

    async fn run(self: &Arc<Self>) {
        self.open_region(0, Duration::ZERO);
        let incidents = self.schedule.incidents.iter().map(|(at, incident)| {
            let (world, at, incident) = (Arc::clone(self), *at, *incident);
            tokio::spawn(async move {
                sleep(at).await;
                incidents::run(world, incident).await;
            })
        });
        let incidents: Vec<_> = incidents.collect();
        self.send().await;
        for incident in incidents {
            incident.await.expect("an incident does not panic");
        }
        self.clock.trace(|| "all faults cleared".to_owned());
        self.faults.clear();
        // Read again from the checkpoints, also from those that were set back.
        self.stop_owners();
        self.start_owners();
        if timeout(MAX_IDLE_WAIT, self.wait_until_idle()).await.is_err() {
            return self.clock.record_violation("the system does not process all events after the faults are cleared");
        }
        // The messages of a killed replay are visible again by then.
        sleep(operator::VISIBILITY_TIMEOUT + Duration::from_secs(1)).await;
        let replayed = operator::replay(self).await;
        if let Some(reason) = replayed.reason {
            self.clock
                .record_violation(&format!("dead letters cannot be replayed after the faults are cleared: {reason}"));
        }
        checks::final_state::check(self);
    }

    /// Sends the devices' events in bursts to the hub of the alias.
    async fn send(&self) {
        let mut sent = 0;
        while sent < self.schedule.events {
            let burst = self.clock.draw(|rng| rng.usize(1..=40)).min(self.schedule.events - sent);
            for _ in 0..burst {
                let (event, expected) = self.fleet().next_event(self.clock.now_ms());
                let is_poison = u64::from(expected.has_poison());
                self.clock.metrics.count(Count::PoisonEvents, is_poison);
                self.hubs[self.alias.load(Relaxed)].send(event, expected, sent as u64);
                sent += 1;
            }
            self.clock.metrics.count(Count::Events, burst as u64);
            let pause = self.schedule.span * 40 / u32::try_from(self.schedule.events).unwrap_or(u32::MAX);
            sleep(pause.mul_f64(self.clock.draw(Rng::f64))).await;
        }
    }

    /// Waits until the owners have completed all events.
    async fn wait_until_idle(&self) {
        while !self.hubs.iter().flat_map(|hub| &hub.partitions).all(hub::Partition::is_done) {
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn outcome(&self) -> Run {
        let metrics = &self.clock.metrics;
        metrics.count(Count::Runs, 1);
        let (counts, violations) = (metrics.counts(), metrics.violations());
        let mut hasher = DefaultHasher::new();
        (&counts, &violations, self.clock.now(), self.queue.bodies()).hash(&mut hasher);
        for stored in self.store.documents() {
            (serde_json::to_string(&stored.document).expect("a document is JSON"), &stored.etag.0).hash(&mut hasher);
        }
        Run { counts, violations, digest: hasher.finish(), steps: metrics.steps() }
    }

    fn fleet(&self) -> std::sync::MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ids(&self) -> Vec<String> {
        self.fleet().ids()
    }

    fn is_keyed(&self, id: &str) -> bool {
        self.fleet().is_keyed(id)
    }

    /// Points the producers' alias at a region.
    fn set_alias(&self, region: usize) {
        self.alias.store(region, Relaxed);
    }
}
