//! Reads one partition for a host: batches, retries and checkpoints.

use std::{sync::Arc, time::Duration};

use devicestate_engine::function_app::RetryPolicy;
use devicestate_local::envelope::{Exception, Retry};
use tokio::{select, time::sleep};

use super::{
    World, checks,
    host::Host,
    hub::{EventRange, Partition},
    metrics::{Count, Fault},
    signal::Signal,
};

/// Reads one partition, as the owner with one lease.
pub(super) struct Pump<'a> {
    pub(super) world: &'a Arc<World>,
    pub(super) host: &'a Arc<Host>,
    pub(super) partition: &'a Partition,
    /// The number of the partition in its hub.
    number: usize,
    lease: u64,
    /// How long it takes until the host notices that the lease is lost.
    notice_time: Duration,
    has_noticed: Signal<bool>,
}

/// Reads a partition as its owner, until the lease is lost or the host ends.
pub(super) async fn read_as_owner(world: Arc<World>, host: Arc<Host>, partition: usize, lease: u64) {
    host.run_pump(Pump::new(&world, &host, partition, lease).read()).await;
}

/// How an invocation ended.
enum End {
    /// It succeeded, or it failed and no retries are left.
    Complete,
    /// The lease was lost or the host was stopped while it waited for a retry.
    Cancelled,
}

impl<'a> Pump<'a> {
    fn new(world: &'a Arc<World>, host: &'a Arc<Host>, number: usize, lease: u64) -> Self {
        // Mostly with the next renewal; but a host that is frozen or cut off takes longer.
        let max_ms = world.clock.draw(|rng| if rng.u8(..4) > 0 { 30_000 } else { 7_200_000 });
        let notice_time = world.clock.random_millis(max_ms);
        let partition = &world.hubs[host.region].partitions[number];
        Self { world, host, partition, number, lease, notice_time, has_noticed: Signal::new(false) }
    }

    /// Reads until the lease is lost or the host is stopped.
    async fn read(&self) {
        select! {
            biased;
            () = self.notice_lost_lease() => {}
            () = self.read_batches() => {}
        }
    }

    /// Notices that the lease is lost, which cancels retries and nothing else. Never returns.
    async fn notice_lost_lease(&self) {
        let owners = &self.partition.owners;
        owners.until_lost(self.lease).await;
        select! {
            biased;
            () = owners.until_stopped(self.lease) => {}
            () = sleep(self.notice_time) => {}
        }
        self.has_noticed.change(|has_noticed| *has_noticed = true);
        std::future::pending::<()>().await;
    }

    async fn read_batches(&self) {
        let Self { world, host, partition, lease, .. } = self;
        let metrics = &world.clock.metrics;
        let mut next = partition.start_reading(*lease);
        let mut batches = 0;
        loop {
            select! {
                biased;
                () = partition.owners.until_lost(*lease) => return,
                () = host.until_stopped() => return,
                () = partition.event_count.until(|events| events > next) => {}
            }
            let range = partition.read(next, world.clock.draw(|rng| rng.usize(1..=host.batch_size)));
            next += range.events.len();
            metrics.count(Count::Deliveries, range.events.len() as u64);
            metrics.count(Count::Redelivered, range.redelivered as u64);
            self.maybe_lose_lease();
            if matches!(self.invoke(&range).await, End::Cancelled) {
                return metrics.count_fault(Fault::RetryCancelled);
            }
            checks::lag::check(world, &range);
            self.delay_without_lease(7).await;
            self.delay_briefly().await;
            if !host.is_running() || partition.owners.is_stopped(*lease) {
                return metrics.count_fault(Fault::FinishedInStop);
            }
            // Also after a batch whose last attempt failed, and without the lease.
            batches += 1;
            if batches % world.schedule.checkpoint_every == 0 {
                partition.set_checkpoint(next, world.clock.now());
            }
            partition.complete(*lease, next);
        }
    }

    /// Perhaps loses the lease during the first attempt or shortly after it.
    fn maybe_lose_lease(&self) {
        let world = Arc::clone(self.world);
        if world.clock.chance(world.faults.rates().lease_lost) {
            let (region, partition, delay) = (self.host.region, self.number, world.clock.random_millis(30));
            tokio::spawn(async move {
                sleep(delay).await;
                world.lose_lease(region, partition);
            });
        }
    }

    /// Invokes the handler with one batch, including retries.
    async fn invoke(&self, range: &EventRange) -> End {
        let world = self.world;
        let id = world.clock.draw(|rng| format!("{:032x}", rng.u128(..)));
        let policy = world.function.retry.as_ref();
        let max_count = policy.map_or(0, RetryPolicy::max_retry_count);
        let mut retry = Retry { max_count, ..Retry::default() };
        loop {
            let failed = match self.attempt(range, &id, policy.map(|_| &retry)).await {
                Ok(()) => return End::Complete,
                Err(reason) => reason,
            };
            world.clock.trace(|| format!("{} attempt {} failed: {failed}", self.describe(range), retry.count + 1));
            let Some(policy) = policy.filter(|_| max_count < 0 || i64::from(retry.count) < max_count) else {
                return End::Complete;
            };
            retry.count += 1;
            retry.exception = Some(Exception::new(&id, failed));
            select! {
                biased;
                () = self.has_noticed.until(|has_noticed| has_noticed) => return End::Cancelled,
                () = self.host.until_cancelled() => return End::Cancelled,
                () = sleep(policy.delay(retry.count)) => {}
            }
        }
    }

    pub(super) fn describe(&self, range: &EventRange) -> String {
        let source = &self.partition.source;
        let (namespace, id) = (&source.fully_qualified_namespace[..7], &source.partition_id);
        format!("host {}, {namespace} partition {id}, {} from {}:", self.host.number, range.events.len(), range.first)
    }

    /// Waits for a few milliseconds, in which the lease may be lost or the host killed.
    pub(super) async fn delay_briefly(&self) {
        sleep(self.world.clock.random_millis(5)).await;
    }

    /// After a lost lease, waits in half of the cases for up to a power of ten of milliseconds: the next owner goes on
    /// meanwhile, and what follows comes after its newer events.
    pub(super) async fn delay_without_lease(&self, max_power: u32) {
        let clock = &self.world.clock;
        if !self.partition.owners.is_current(self.lease) && clock.draw(fastrand::Rng::bool) {
            let power = clock.draw(|rng| rng.u32(2..=max_power));
            sleep(clock.random_millis(10_u64.pow(power))).await;
        }
    }
}
