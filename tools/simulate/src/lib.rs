//! The whole system in one process, from one seed: devices, partitioned hubs in two regions, hosts with leases and the
//! platform's contract, a store that misbehaves, people with tools, and all that can go wrong between them. In its midst
//! is the real handler; no clock, no network and no other chance than the seed's.
//!
//! The checks ([`checks`]) stand apart. They know what went in and what came out:
//!
//! * each event is in the account just once: in its device's document, or as a dead letter with its own bytes;
//! * no version that is stored goes back, but for the failover that loses writes;
//! * the documents equal a plain fold of all events, and say what the device sent last;
//! * each reply is one that the host understands, adds up, and comes in time;
//! * nobody's events are dead-lettered for the fault of the store.
//!
//! A run ends in calm: what was wrong is over, everything is read to its end, and all dead letters are replayed. Whatever
//! a fault has lost or left behind by then is lost for good.
#![allow(missing_docs, clippy::must_use_candidate, reason = "the program beside it and its tests are all who use it")]

mod book;
mod checks;
mod clock;
mod fleet;
mod handler;
mod host;
mod hub;
mod incidents;
mod many;
mod operator;
mod plan;
mod queue;
mod regions;
mod signal;
mod store;
mod weather;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate_engine::function_app::{Function, FunctionApp, RetryPolicy};
use fastrand::Rng;
use tokio::time::{sleep, timeout};

use book::Book;
use clock::Surroundings;
use fleet::Fleet;
use hub::Hub;
use plan::{Plan, Policy};
use queue::{Queue, Shelf};
use regions::Region;
use store::Service;
use weather::Weather;

pub use book::{Count, Fault, Tally};
pub use many::{Failure, many};

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// How often things happened.
    pub tally: Tally,
    /// What must never happen, and did.
    pub violations: Vec<String>,
    /// Stands for all of it: two runs of one seed have the same.
    pub digest: u64,
    /// Each step, where it was asked for.
    pub steps: Vec<String>,
}

/// Runs the system of this seed, with about so many events.
///
/// # Panics
///
/// When the function app that ships cannot be read.
pub fn run(seed: u64, events: usize, is_watched: bool) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::new(&mut rng, events);
        let fleet = Fleet::new(rng.fork(), plan.devices);
        let clock = Arc::new(Surroundings::new(rng, Book::new(is_watched)));
        clock.trace(|| format!("{plan:#?}"));
        let world = Arc::new(World::new(plan, fleet, clock));
        world.run().await;
        world.outcome()
    })
}

/// Everything there is.
struct World {
    plan: Plan,
    clock: Arc<Surroundings>,
    function: Function,
    function_timeout: Duration,
    weather: Arc<Weather>,
    store: Arc<Service>,
    queue: Arc<Queue>,
    shelf: Arc<Shelf>,
    hubs: [Hub; 2],
    regions: Mutex<[Region; 2]>,
    fleet: Mutex<Fleet>,
    /// The hub that producers send to.
    alias: AtomicUsize,
    is_ending: AtomicBool,
}

/// How long the system may take to come to rest once nothing is wrong any more. The longest delay of the retry policy that
/// ships is a minute, and `functionTimeout` is five.
const REST: Duration = Duration::from_hours(2);

impl World {
    fn new(plan: Plan, fleet: Fleet, clock: Arc<Surroundings>) -> Self {
        let app = FunctionApp::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")))
            .expect("the function app that ships");
        let mut function = app.functions.into_iter().next().expect("its function");
        let retries =
            |max_retry_count| RetryPolicy::FixedDelay { max_retry_count, delay_interval: Duration::from_secs(2) };
        match plan.policy {
            Policy::Shipped => {}
            Policy::Finite(retry_count) => function.retry = Some(retries(retry_count)),
            Policy::None => function.retry = None,
        }
        let weather = Arc::new(Weather::new(Arc::clone(&clock), plan.trouble));
        let hub = |region| Hub::new(&clock, region, plan.partitions, plan.skewed);
        let region = || Region::new(plan.partitions);
        Self {
            function,
            function_timeout: app.host.function_timeout.expect("host.json says how long an invocation may take"),
            store: Arc::new(Service::new(Arc::clone(&clock))),
            queue: Arc::new(Queue::new(&clock)),
            shelf: Arc::new(Shelf::new(&clock, &weather)),
            hubs: [hub(0), hub(1)],
            regions: Mutex::new([region(), region()]),
            fleet: Mutex::new(fleet),
            alias: AtomicUsize::new(0),
            is_ending: AtomicBool::new(false),
            weather,
            clock,
            plan,
        }
    }

    async fn run(self: &Arc<Self>) {
        self.open_region(0);
        let incidents = self.plan.incidents.iter().map(|(at, incident)| {
            let (world, at, incident) = (Arc::clone(self), *at, *incident);
            tokio::spawn(async move {
                sleep(at).await;
                incidents::happen(world, incident).await;
            })
        });
        let incidents: Vec<_> = incidents.collect();
        self.send().await;
        for incident in incidents {
            incident.await.expect("an incident does not panic");
        }
        self.clock.trace(|| "calm".to_owned());
        self.weather.clears();
        // From their checkpoints once more, which are written behind each batch from now on.
        self.is_ending.store(true, Relaxed);
        self.stop_owners();
        self.start_owners();
        if timeout(REST, self.at_rest()).await.is_err() {
            return self.clock.violation("the system does not come to rest, though nothing is wrong any more");
        }
        // What a replay had in hand when it was killed is back by then.
        sleep(operator::HIDDEN + Duration::from_secs(1)).await;
        let replayed = operator::replay(self).await;
        if let Some(reason) = replayed.not_now {
            self.clock.violation(&format!("dead letters cannot be replayed, though nothing is wrong: {reason}"));
        }
        checks::ending::check(self);
    }

    /// The devices send, in bursts, to the hub that the alias names.
    async fn send(&self) {
        let mut sent = 0;
        while sent < self.plan.events {
            let burst = self.clock.draw(|rng| rng.usize(1..=40)).min(self.plan.events - sent);
            for _ in 0..burst {
                let (event, meaning) = self.fleet().next();
                let is_poison = u64::from(matches!(meaning, fleet::Meaning::Poison));
                self.clock.book.count(Count::PoisonEvents, is_poison);
                self.hubs[self.alias.load(Relaxed)].send(event, meaning, sent as u64);
                sent += 1;
            }
            self.clock.book.count(Count::Events, burst as u64);
            let pause = self.plan.span * 40 / u32::try_from(self.plan.events).unwrap_or(u32::MAX);
            sleep(pause.mul_f64(self.clock.draw(Rng::f64))).await;
        }
    }

    async fn at_rest(&self) {
        while !self.hubs.iter().flat_map(|hub| &hub.partitions).all(hub::Partition::is_done) {
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn outcome(&self) -> Run {
        let book = &self.clock.book;
        book.count(Count::Runs, 1);
        let (tally, violations) = (book.tally(), book.violations());
        let mut hasher = DefaultHasher::new();
        (&tally, &violations, self.clock.now(), self.queue.texts()).hash(&mut hasher);
        for stored in self.store.documents() {
            (serde_json::to_string(&stored.document).expect("a document is JSON"), &stored.etag.0).hash(&mut hasher);
        }
        Run { tally, violations, digest: hasher.finish(), steps: book.steps() }
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

    fn send_to(&self, region: usize) {
        self.alias.store(region, Relaxed);
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Relaxed)
    }
}
