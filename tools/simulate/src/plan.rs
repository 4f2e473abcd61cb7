//! What a seed stands for: how large the system is, how it is set up, and what goes wrong when.

use std::time::Duration;

use fastrand::Rng;

use super::weather::{Illness, Outage, Trouble};

/// Everything about a run that is decided before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How many events the devices send.
    pub(crate) events: usize,
    pub(crate) devices: usize,
    pub(crate) partitions: usize,
    /// How many hosts there are at the start.
    pub(crate) hosts: usize,
    pub(crate) policy: Policy,
    /// host.json: `maxEventBatchSize`.
    pub(crate) batch_size: usize,
    /// host.json: `batchCheckpointFrequency`.
    pub(crate) checkpoint_every: usize,
    /// `DocumentCacheMegabytes`, in bytes.
    pub(crate) cache_bytes: u64,
    /// `StoreConcurrency`.
    pub(crate) concurrency: usize,
    /// `InvocationBudget`.
    pub(crate) budget: Duration,
    /// Whether the clocks of the service's partitions differ.
    pub(crate) skewed: bool,
    /// For how long the devices send.
    pub(crate) span: Duration,
    pub(crate) trouble: Trouble,
    /// What happens when, in the order of time.
    pub(crate) incidents: Vec<(Duration, Incident)>,
}

/// The retry policy of function.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The one that ships.
    Shipped,
    /// So many retries, and then the host passes on.
    Finite(i64),
    /// Each attempt is the last.
    None,
}

impl Policy {
    /// Whether the platform itself loses nothing: under any other policy an attempt that never reached the handler, or
    /// whose reply never reached the host, may be the last one.
    pub(crate) fn is_endless(self) -> bool {
        self == Self::Shipped
    }
}

/// Something that befalls the system.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Incident {
    HandlerKilled,
    HostKilled,
    LeaseLost,
    /// A host is drained, and killed when that has not ended after so long.
    ScaleIn(Duration),
    ScaleOut,
    StoreOut(Outage, Duration),
    DeviceIll(Illness, Duration),
    QueueOut(Duration),
    OverflowOut(Duration),
    /// The first region is gone for so long, with hub and hosts; the second one takes over.
    RegionLost(Duration),
    /// The store fails over and loses the writes of the last `lag`; checkpoints are rewound `after` that.
    StoreFailover {
        lag: Duration,
        after: Duration,
        handlers_live: bool,
    },
    /// A person replays the dead letters; the tool is killed after so long, if it has not ended.
    Replay(Duration),
}

impl Plan {
    /// The plan of a seed, for about so many events.
    pub(crate) fn new(rng: &mut Rng, events: usize) -> Self {
        let policy = match rng.u8(..10) {
            0 => Policy::None,
            1 | 2 => Policy::Finite(rng.i64(1..5)),
            _ => Policy::Shipped,
        };
        let span = Duration::from_secs(rng.u64(20..900));
        let trouble = if rng.u8(..8) == 0 { Trouble::default() } else { trouble(rng, policy) };
        let mut incidents = Vec::new();
        for _ in 0..rng.usize(..8) {
            let at = span.mul_f64(rng.f64());
            incidents.push((at, incident(rng, policy)));
        }
        // At most one of each.
        if rng.u8(..4) == 0 {
            let back = Duration::from_secs(rng.u64(1..1_000));
            incidents.push((span.mul_f64(rng.f64()), Incident::RegionLost(back)));
        }
        if rng.u8(..4) == 0 {
            let lag = Duration::from_millis(rng.u64(1..20_000));
            let after = Duration::from_millis(rng.u64(..120_000));
            let failover = Incident::StoreFailover { lag, after, handlers_live: rng.bool() };
            incidents.push((span.mul_f64(rng.f64()), failover));
        }
        incidents.sort_by_key(|(at, _)| *at);
        Self {
            events: rng.usize(events / 2..=events + events / 2),
            devices: rng.usize(1..=40),
            partitions: rng.usize(1..=8),
            hosts: rng.usize(1..=3),
            policy,
            batch_size: [1, 3, 10, 30, 100, 1_000][rng.usize(..6)],
            checkpoint_every: [1, 1, 1, 3][rng.usize(..4)],
            cache_bytes: [0, 600, 4_000, 1 << 16][rng.usize(..4)],
            concurrency: [1, 4, 32][rng.usize(..3)],
            budget: Duration::from_secs([5, 20, 60][rng.usize(..3)]),
            skewed: rng.u8(..3) == 0,
            span,
            trouble,
            incidents,
        }
    }
}

fn trouble(rng: &mut Rng, policy: Policy) -> Trouble {
    let mut at_most = |most: u32| if rng.bool() { rng.u32(..=most) } else { 0 };
    let trouble = Trouble {
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
        put_failed: at_most(100),
        overflow_failed: at_most(200),
    };
    if policy.is_endless() {
        return trouble;
    }
    // What befalls the way between host and handler is beyond the handler's power then.
    Trouble { reply_lost: 0, request_lost: 0, killed: 0, put_failed: 0, overflow_failed: 0, ..trouble }
}

fn incident(rng: &mut Rng, policy: Policy) -> Incident {
    let mut seconds = |most: u64| Duration::from_millis(rng.u64(100..most * 1_000));
    let (short, long) = (seconds(20), seconds(600));
    let outage = [Outage::Denied, Outage::Unavailable, Outage::Throttled, Outage::Silent][rng.usize(..4)];
    let illness = [Illness::Failing, Illness::Silent][rng.usize(..2)];
    match rng.u8(..16) {
        0 | 1 if policy.is_endless() => Incident::HandlerKilled,
        2 if policy.is_endless() => Incident::QueueOut(short),
        3 if policy.is_endless() => Incident::OverflowOut(long),
        0..=5 => Incident::LeaseLost,
        6 => Incident::HostKilled,
        7 => Incident::ScaleIn(short),
        8 => Incident::ScaleOut,
        9..=11 => Incident::StoreOut(outage, long),
        12 | 13 => Incident::DeviceIll(illness, Duration::from_secs(rng.u64(60..4_000))),
        _ => Incident::Replay(if rng.bool() { long } else { short / 100 }),
    }
}
