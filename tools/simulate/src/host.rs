//! A Functions host: it owns partitions, invokes its handler with their batches, and keeps the platform's contract.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    clock::Clock as _,
    function_app::{MessageEncoding, RetryPolicy},
    handler::Response,
};
use devicestate_local::{
    envelope::{self, Exception, Retry},
    reply::{self, Accepted, ReplyError},
};
use tokio::{
    select,
    time::{sleep, timeout},
};

use super::{
    World,
    checks::{self, replies::Invocation},
    handler::Process,
    hub::{EventRange, Partition},
    metrics::{Count, Fault},
    signal::Signal,
};

/// One instance of the function app.
pub(crate) struct Host {
    pub(crate) number: usize,
    pub(crate) process: Process,
    state: Signal<State>,
    /// The number of partitions that it reads.
    pumps: Signal<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// It finishes the batches that it has, including retries, and accepts no more.
    Draining,
    Killed,
}

impl Host {
    pub(crate) fn start(world: &Arc<World>, number: usize) -> Arc<Self> {
        Arc::new(Self {
            number,
            process: Process::start(world),
            state: Signal::new(State::Running),
            pumps: Signal::new(0),
        })
    }

    /// Drains the host. Returns whether it finished in time: a host that waits for a retry does not.
    pub(crate) async fn drain(&self, drain_timeout: Duration) -> bool {
        self.state.change(|state| *state = State::Draining);
        timeout(drain_timeout, self.pumps.until(|pumps| pumps == 0)).await.is_ok()
    }

    /// Kills the host and its handler.
    pub(crate) fn kill(&self, world: &Arc<World>) {
        self.state.change(|state| *state = State::Killed);
        self.process.kill(world);
    }

    /// Reads a partition as its owner, until the lease is lost or the host ends.
    pub(crate) async fn read_as_owner(self: Arc<Self>, world: Arc<World>, hub: usize, partition: usize, lease: u64) {
        let partition = &world.hubs[hub].partitions[partition];
        let pump = Pump { world: &world, host: &self, partition, lease };
        self.pumps.change(|pumps| *pumps += 1);
        select! {
            biased;
            () = self.state.until(|state| state == State::Killed) => {}
            () = pump.read() => {}
        }
        self.pumps.change(|pumps| *pumps -= 1);
    }
}

/// Reads one partition.
struct Pump<'a> {
    world: &'a Arc<World>,
    host: &'a Arc<Host>,
    partition: &'a Partition,
    lease: u64,
}

/// How an invocation ended.
enum End {
    Succeeded,
    /// It failed, and no retries are left.
    Failed,
    /// The lease was lost while it waited for a retry.
    Cancelled,
}

impl Pump<'_> {
    async fn read(&self) {
        let Self { world, partition, .. } = self;
        let mut next = partition.checkpoint();
        let mut batches = 0;
        loop {
            select! {
                biased;
                () = self.wait_for_lost_lease() => return,
                () = self.host.state.until(|state| state != State::Running) => return,
                () = partition.event_count.until(|events| events > next) => {}
            }
            let max = world.clock.draw(|rng| rng.usize(1..=world.schedule.batch_size));
            let range = partition.read(next, max);
            next += range.events.len();
            world.clock.metrics.count(Count::Deliveries, range.events.len() as u64);
            world.clock.metrics.count(Count::Redelivered, range.redelivered as u64);
            if matches!(self.invoke(&range).await, End::Cancelled) {
                return;
            }
            checks::lag::check(world, &range);
            // Also after a batch whose last attempt failed.
            batches += 1;
            self.delay_briefly().await;
            if batches % world.schedule.checkpoint_every == 0 || world.is_ending() {
                partition.set_checkpoint(self.lease, next, world.clock.now());
            }
        }
    }

    async fn wait_for_lost_lease(&self) {
        self.partition.lease.until(|lease| lease != self.lease).await;
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
                Ok(()) => return End::Succeeded,
                Err(reason) => reason,
            };
            world.clock.trace(|| format!("{} attempt {} failed: {failed}", self.describe(range), retry.count + 1));
            let Some(policy) = policy.filter(|_| max_count < 0 || i64::from(retry.count) < max_count) else {
                return End::Failed;
            };
            retry.count += 1;
            retry.exception = Some(Exception::new(&id, failed));
            select! {
                biased;
                () = self.wait_for_lost_lease() => return End::Cancelled,
                () = sleep(policy.delay(retry.count)) => {}
            }
        }
    }

    fn describe(&self, range: &EventRange) -> String {
        let source = &self.partition.source;
        let (namespace, id) = (&source.fully_qualified_namespace[..7], &source.partition_id);
        format!("host {}, {namespace} partition {id}, {} from {}:", self.host.number, range.events.len(), range.first)
    }

    /// Makes one attempt: the request, the reply, the outputs.
    async fn attempt(&self, range: &EventRange, id: &str, retry: Option<&Retry>) -> Result<(), String> {
        let (world, process) = (self.world, &self.host.process);
        let Self { partition, .. } = self;
        let metrics = &world.clock.metrics;
        let now_ms = world.clock.now_ms();
        let request = envelope::request(&world.function, &partition.source, &range.events, retry, now_ms)?.into();
        let instance = process.ready_instance().await;
        metrics.count(Count::Attempts, 1);
        if world.clock.chance(world.faults.rates().request_lost) {
            sleep(world.function_timeout).await;
            return Err(self.kill_after_timeout());
        }
        self.maybe_kill();
        let invocation = Invocation::begin(world, partition, range, instance.client);
        let response = select! {
            biased;
            () = instance.wait_until_killed() => return Err("the handler was killed".into()),
            response = timeout(world.function_timeout, instance.handler.invoke(id, &request)) => response,
        };
        let Ok(response) = response else {
            world.clock.record_violation("the handler did not reply within functionTimeout");
            return Err(self.kill_after_timeout());
        };
        invocation.check_time();
        let (status, body) = match response {
            Response::Complete(body) => (200, body),
            Response::Retry(body) => (503, body),
        };
        let read = self.read_reply(status, &body);
        if let Ok(accepted) = &read {
            invocation.check_reply(accepted);
        } else if status == 200 {
            world.clock.record_violation(&format!("the host cannot read a final reply: {read:?}"));
        }
        if world.clock.chance(world.faults.rates().reply_lost) {
            metrics.count_fault(Fault::LostReply);
            if world.clock.draw(fastrand::Rng::bool) {
                return Err("the handler's reply was lost".into());
            }
            sleep(world.function_timeout).await;
            return Err(self.kill_after_timeout());
        }
        let accepted = read.map_err(|error| format!("{error:?}"))?;
        self.put_messages(accepted).await?;
        world.clock.trace(|| format!("{} done", self.describe(range)));
        Ok(())
    }

    /// Perhaps kills the handler during the attempt or shortly after it.
    fn maybe_kill(&self) {
        let world = Arc::clone(self.world);
        if world.clock.chance(world.faults.rates().killed) {
            let (host, delay) = (Arc::clone(self.host), world.clock.random_millis(30));
            tokio::spawn(async move {
                sleep(delay).await;
                world.clock.metrics.count_fault(Fault::HandlerKilled);
                host.process.kill(&world);
            });
        }
    }

    fn read_reply(&self, status: u16, body: &str) -> Result<Accepted, ReplyError> {
        let content_type = Some("application/json; charset=utf-8");
        let binding = &self.world.function.dead_letters.name;
        let accepted = reply::read(status, content_type, body.as_bytes(), binding)?;
        for message in &accepted.messages {
            reply::check_length(message, MessageEncoding::Base64).map_err(ReplyError::Failed)?;
        }
        Ok(accepted)
    }

    /// Waits for a few milliseconds, in which the lease may be lost or the host killed.
    async fn delay_briefly(&self) {
        sleep(self.world.clock.random_millis(5)).await;
    }

    /// Puts the messages one after another: if one fails, the earlier ones remain.
    async fn put_messages(&self, accepted: Accepted) -> Result<(), String> {
        for message in accepted.messages {
            self.delay_briefly().await;
            if !self.world.faults.queue_accepts() {
                return Err("an output could not be written".into());
            }
            self.world.clock.metrics.count(Count::DeadLetters, 1);
            self.world.queue.add(message);
        }
        Ok(())
    }

    /// Kills the handler, as the host does after `functionTimeout`, and returns the reason of the failed attempt.
    fn kill_after_timeout(&self) -> String {
        self.world.clock.metrics.count_fault(Fault::InvocationTimeout);
        self.host.process.kill(self.world);
        "functionTimeout: the handler is killed".into()
    }
}
