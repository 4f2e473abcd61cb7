//! The schedule of a seed's run: size and settings of the system, and the incidents with their times.

use std::time::Duration;

use fastrand::Rng;

use super::{
    faults::{DocumentFault, FaultRates, Outage},
    fleet::Kind,
};

/// Everything about a run that is chosen before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// The number of events that the devices send.
    pub(crate) events: usize,
    pub(crate) devices: usize,
    pub(crate) kind: Kind,
    pub(crate) partitions: usize,
    /// The number of hosts at the start.
    pub(crate) hosts: usize,
    pub(crate) policy: Policy,
    /// `maxEventBatchSize` of host.json.
    pub(crate) batch_size: usize,
    /// `batchCheckpointFrequency` of host.json.
    pub(crate) checkpoint_every: usize,
    /// `DocumentCacheMegabytes`, in bytes.
    pub(crate) cache_bytes: u64,
    /// `StoreConcurrency`.
    pub(crate) concurrency: usize,
    /// `HeardEvery`.
    pub(crate) heard_every: Duration,
    /// `InvocationBudget`.
    pub(crate) budget: Duration,
    /// Whether the clocks of the partitions differ.
    pub(crate) has_clock_skew: bool,
    /// Whether the clock of a partition changes with its node of the broker, so that its times can step back.
    pub(crate) has_clock_steps: bool,
    /// Whether the devices send through an IoT Hub, which repeats series of messages.
    pub(crate) has_iot_hub: bool,
    /// The sequence number of the first event of each partition. Beyond 2^53 it is that of a partitioned Service Bus queue.
    /// In a hub that is created again, the numbers start [`RESTART_STEP`] below it.
    pub(crate) first_number: i64,
    /// How long the devices send.
    pub(crate) span: Duration,
    pub(crate) rates: FaultRates,
    /// How long an event of a healthy device may wait, in a run whose only fault is one document.
    pub(crate) max_lag: Option<Duration>,
    /// The incidents with their times, in order of time.
    pub(crate) incidents: Vec<(Duration, Incident)>,
}

/// The retry policy of function.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The shipped one.
    Shipped,
    /// This many retries, after which the host continues with the next batch.
    Finite(i64),
    /// No retries.
    None,
}

impl Policy {
    /// Returns whether the platform never drops a batch. Under any other policy, the request or the reply of the last attempt may
    /// be lost.
    pub(crate) fn is_endless(self) -> bool {
        self == Self::Shipped
    }
}

/// An incident of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Incident {
    HandlerKilled,
    HostKilled,
    LeaseLost,
    /// A host is drained, and killed if that takes longer than this.
    ScaleIn(Duration),
    ScaleOut,
    StoreOutage(Outage, Duration),
    DocumentFault(DocumentFault, Duration),
    /// Each third document is out for this long.
    PartialOutage(DocumentFault, Duration),
    QueueOutage(Duration),
    OverflowOutage(Duration),
    /// The first region is lost for this long, with its hub and hosts; the second one takes over.
    RegionLost(Duration),
    /// The store fails over and loses the writes of the last `lag`; `after` that, the checkpoints are rewound.
    StoreFailover {
        lag: Duration,
        after: Duration,
        should_keep_handlers: bool,
    },
    /// The hub of the first region is created again: its sequence numbers start again.
    HubCreatedAgain,
    /// An operator replays the dead letters; the tool is killed if it takes longer than this.
    Replay(Duration),
}

/// The sequence numbers of a hub that was created again start this much below those before. In reality they start at 0; here each
/// number occurs once, so that it identifies its event.
pub(crate) const RESTART_STEP: i64 = 1 << 20;

impl Schedule {
    /// Creates the schedule of a seed for about `events` events.
    pub(crate) fn new(rng: &mut Rng, events: usize) -> Self {
        let policy = match rng.u8(..10) {
            0 => Policy::None,
            1 | 2 => Policy::Finite(rng.i64(1..5)),
            _ => Policy::Shipped,
        };
        let span = Duration::from_secs(rng.u64(20..900));
        let rates = if rng.u8(..8) == 0 { FaultRates::default() } else { draw_rates(rng, policy) };
        let mut incidents = Vec::new();
        for _ in 0..rng.usize(..8) {
            let at = span.mul_f64(rng.f64());
            incidents.push((at, draw_incident(rng, policy)));
        }
        // At most one of each.
        if rng.u8(..4) == 0 {
            let recovery = Duration::from_secs(rng.u64(1..1_000));
            incidents.push((span.mul_f64(rng.f64()), Incident::RegionLost(recovery)));
        }
        if rng.u8(..4) == 0 {
            let lag = Duration::from_millis(rng.u64(1..20_000));
            let after = Duration::from_millis(rng.u64(..120_000));
            let failover = Incident::StoreFailover { lag, after, should_keep_handlers: rng.bool() };
            incidents.push((span.mul_f64(rng.f64()), failover));
        }
        // From a generator of its own: the runs without this incident stay as they were.
        let mut own = rng.clone().fork();
        let is_created_again = own.u8(..5) == 0;
        if is_created_again {
            incidents.push((span.mul_f64(own.f64() / 2.0), Incident::HubCreatedAgain));
        }
        let kind = Kind::draw(&mut own);
        let heard_every = Duration::from_secs([0, 300, 300][own.usize(..3)]);
        incidents.sort_by_key(|(at, _)| *at);
        let schedule = Self {
            events: rng.usize(events / 2..=events + events / 2),
            devices: rng.usize(1..=40),
            kind,
            partitions: rng.usize(1..=8),
            hosts: rng.usize(1..=3),
            policy,
            batch_size: [1, 3, 10, 30, 100, 1_000][rng.usize(..6)],
            checkpoint_every: [1, 1, 1, 3][rng.usize(..4)],
            cache_bytes: [0, 600, 4_000, 1 << 16][rng.usize(..4)],
            concurrency: [1, 4, 32][rng.usize(..3)],
            heard_every,
            budget: Duration::from_secs([5, 20, 60][rng.usize(..3)]),
            has_clock_skew: rng.u8(..3) == 0,
            has_clock_steps: rng.u8(..3) == 0,
            has_iot_hub: rng.u8(..4) == 0,
            first_number: match rng.u8(..6) {
                0 => 38 << 48,
                _ if is_created_again => RESTART_STEP,
                _ => 0,
            },
            span,
            rates,
            max_lag: None,
            incidents,
        };
        if rng.u8(..8) == 0 { schedule.with_one_faulty_document(rng) } else { schedule }
    }

    /// Replaces all faults by one: a document that fails until the end.
    fn with_one_faulty_document(self, rng: &mut Rng) -> Self {
        let fault = [DocumentFault::Failing, DocumentFault::Refused][rng.usize(..2)];
        let until_the_end = Duration::from_hours(2);
        Self {
            devices: rng.usize(4..=40),
            policy: Policy::Shipped,
            has_clock_skew: false,
            rates: FaultRates::default(),
            // The attempts of the first batch with the document, the host's delays between them, and one batch more.
            max_lag: Some(self.budget * 6 + Duration::from_mins(1)),
            incidents: vec![(self.span.mul_f64(rng.f64() / 2.0), Incident::DocumentFault(fault, until_the_end))],
            ..self
        }
    }
}

fn draw_rates(rng: &mut Rng, policy: Policy) -> FaultRates {
    let mut at_most = |max: u32| if rng.bool() { rng.u32(..=max) } else { 0 };
    let rates = FaultRates {
        unavailable: at_most(60),
        throttled: at_most(60),
        moved: at_most(20),
        cut_before: at_most(40),
        cut_after: at_most(60),
        doubled: at_most(60),
        stalled: at_most(4),
        slow: at_most(300),
        reply_lost: at_most(40),
        request_lost: at_most(6),
        killed: at_most(20),
        lease_lost: at_most(60),
        put_failed: at_most(100),
        overflow_failed: at_most(200),
    };
    if policy.is_endless() {
        return rates;
    }
    // Under this policy, a fault between host and handler loses events independently of the handler.
    FaultRates { reply_lost: 0, request_lost: 0, killed: 0, put_failed: 0, overflow_failed: 0, ..rates }
}

fn draw_incident(rng: &mut Rng, policy: Policy) -> Incident {
    let mut seconds = |max: u64| Duration::from_millis(rng.u64(100..max * 1_000));
    let (short, long) = (seconds(20), seconds(600));
    let outage = [Outage::Denied, Outage::Unavailable, Outage::Throttled, Outage::Silent][rng.usize(..4)];
    let document_fault = [DocumentFault::Failing, DocumentFault::Silent, DocumentFault::Refused][rng.usize(..3)];
    match rng.u8(..17) {
        0 | 1 if policy.is_endless() => Incident::HandlerKilled,
        2 if policy.is_endless() => Incident::QueueOutage(short),
        3 if policy.is_endless() => Incident::OverflowOutage(long),
        0..=5 => Incident::LeaseLost,
        6 => Incident::HostKilled,
        7 => Incident::ScaleIn(short),
        8 => Incident::ScaleOut,
        9..=11 => Incident::StoreOutage(outage, long),
        12 | 13 => Incident::DocumentFault(document_fault, Duration::from_secs(rng.u64(60..4_000))),
        14 => Incident::PartialOutage(document_fault, Duration::from_hours(1)),
        _ => Incident::Replay(if rng.bool() { long } else { short / 100 }),
    }
}
