//! A Functions host: it owns partitions, hands their batches to its handler, and keeps to the platform's
//! contract.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    clock::Clock as _,
    function_app::{MessageEncoding, RetryPolicy},
    handler::Response,
};
use devicestate_local::{
    envelope::{self, Retry},
    reply::{self, Accepted, ReplyError},
};
use tokio::{
    select,
    time::{sleep, timeout},
};

use super::{
    World,
    book::{Count, Fault},
    checks::replies::Invocation,
    handler::Process,
    hub::{Part, Partition},
    signal::Signal,
};

/// One instance of the function app.
pub(crate) struct Host {
    pub(crate) number: usize,
    pub(crate) process: Process,
    state: Signal<State>,
    /// How many partitions it reads.
    pumps: Signal<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// It finishes what it has, retries included, and begins nothing more.
    Draining,
    Gone,
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

    /// Finishes what it has. Whether that ended within this time: while a retry is waited for, it does not.
    pub(crate) async fn drains(&self, patience: Duration) -> bool {
        self.state.change(|state| *state = State::Draining);
        timeout(patience, self.pumps.until(|pumps| pumps == 0)).await.is_ok()
    }

    /// The machine is gone, and the handler with it.
    pub(crate) fn kill(&self, world: &Arc<World>) {
        self.state.change(|state| *state = State::Gone);
        self.process.kill(world);
    }

    /// Reads a partition as its owner, until the lease is lost or the host ends.
    pub(crate) async fn own(self: Arc<Self>, world: Arc<World>, hub: usize, partition: usize, lease: u64) {
        let partition = &world.hubs[hub].partitions[partition];
        let pump = Pump { world: &world, host: &self, partition, lease };
        self.pumps.change(|pumps| *pumps += 1);
        select! {
            biased;
            () = self.state.until(|state| state == State::Gone) => {}
            () = pump.read() => {}
        }
        self.pumps.change(|pumps| *pumps -= 1);
    }
}

/// What reads one partition.
struct Pump<'a> {
    world: &'a Arc<World>,
    host: &'a Arc<Host>,
    partition: &'a Partition,
    lease: u64,
}

/// How an invocation ended.
enum End {
    Succeeded,
    /// It failed, and no retry is left.
    Failed,
    /// The lease was lost while a retry was waited for.
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
                () = self.lease_lost() => return,
                () = self.host.state.until(|state| state != State::Running) => return,
                () = partition.filled.until(|events| events > next) => {}
            }
            let most = world.clock.draw(|rng| rng.usize(1..=world.plan.batch_size));
            let part = partition.read(next, most);
            next += part.events.len();
            world.clock.book.count(Count::Deliveries, part.events.len() as u64);
            world.clock.book.count(Count::Redelivered, part.again as u64);
            if matches!(self.invoke(&part).await, End::Cancelled) {
                return;
            }
            // Also behind a batch that failed for the last time.
            batches += 1;
            self.takes_a_moment().await;
            if batches % world.plan.checkpoint_every == 0 || world.is_ending() {
                partition.set_checkpoint(self.lease, next, world.clock.now());
            }
        }
    }

    async fn lease_lost(&self) {
        self.partition.lease.until(|lease| lease != self.lease).await;
    }

    /// One batch with its retries.
    async fn invoke(&self, part: &Part) -> End {
        let world = self.world;
        let id = world.clock.draw(|rng| format!("{:032x}", rng.u128(..)));
        let policy = world.function.retry.as_ref();
        let max_count = policy.map_or(0, RetryPolicy::max_retry_count);
        let mut retry = Retry { count: 0, max_count, exception: None };
        loop {
            let failed = match self.attempt(part, &id, policy.map(|_| &retry)).await {
                Ok(()) => return End::Succeeded,
                Err(reason) => reason,
            };
            world.clock.trace(|| format!("{} attempt {} failed: {failed}", self.about(part), retry.count + 1));
            let Some(policy) = policy.filter(|_| max_count < 0 || i64::from(retry.count) < max_count) else {
                return End::Failed;
            };
            retry.count += 1;
            retry.exception = Some(failed);
            select! {
                biased;
                () = self.lease_lost() => return End::Cancelled,
                () = sleep(policy.delay(retry.count)) => {}
            }
        }
    }

    fn about(&self, part: &Part) -> String {
        let source = &self.partition.source;
        let (namespace, id) = (&source.fully_qualified_namespace[..7], &source.partition_id);
        format!("host {}, {namespace} partition {id}, {} from {}:", self.host.number, part.events.len(), part.first)
    }

    /// One attempt: the request, the reply, the outputs.
    async fn attempt(&self, part: &Part, id: &str, retry: Option<&Retry>) -> Result<(), String> {
        let (world, process) = (self.world, &self.host.process);
        let Self { partition, .. } = self;
        let book = &world.clock.book;
        let now_ms = world.clock.now_ms();
        let request = envelope::request(&world.function, &partition.source, &part.events, retry, now_ms)?.into();
        let life = process.life().await;
        book.count(Count::Attempts, 1);
        if world.clock.happens(world.weather.trouble().request_lost) {
            sleep(world.function_timeout).await;
            return Err(self.timed_out());
        }
        self.perhaps_kill();
        let invocation = Invocation::begin(world, partition, part, life.client);
        let answer = select! {
            biased;
            () = life.over() => return Err("the handler was killed".into()),
            answer = timeout(world.function_timeout, life.handler.invoke(id, &request)) => answer,
        };
        let Ok(answer) = answer else {
            world.clock.violation("the handler did not answer within functionTimeout");
            return Err(self.timed_out());
        };
        invocation.check_time();
        let (status, body) = match answer {
            Response::Complete(body) => (200, body),
            Response::Retry(body) => (503, body),
        };
        let read = self.reply(status, &body);
        if let Ok(accepted) = &read {
            invocation.check_reply(accepted);
        } else if status == 200 {
            world.clock.violation(&format!("the host does not understand a final reply: {read:?}"));
        }
        if world.clock.happens(world.weather.trouble().reply_lost) {
            book.fault(Fault::LostReply);
            if world.clock.draw(fastrand::Rng::bool) {
                return Err("the handler's reply was lost".into());
            }
            sleep(world.function_timeout).await;
            return Err(self.timed_out());
        }
        let accepted = read.map_err(|refused| format!("{refused:?}"))?;
        self.put(accepted).await?;
        world.clock.trace(|| format!("{} done", self.about(part)));
        Ok(())
    }

    /// SIGKILL at some moment of the attempt, or soon behind it.
    fn perhaps_kill(&self) {
        let world = Arc::clone(self.world);
        if world.clock.happens(world.weather.trouble().killed) {
            let (host, moment) = (Arc::clone(self.host), world.clock.millis(30));
            tokio::spawn(async move {
                sleep(moment).await;
                world.clock.book.fault(Fault::HandlerKilled);
                host.process.kill(&world);
            });
        }
    }

    fn reply(&self, status: u16, body: &str) -> Result<Accepted, ReplyError> {
        let content_type = Some("application/json; charset=utf-8");
        let binding = &self.world.function.dead_letters.name;
        reply::read(status, content_type, body.as_bytes(), binding, MessageEncoding::Base64)
    }

    /// In which the lease may be lost, or the host killed.
    async fn takes_a_moment(&self) {
        sleep(self.world.clock.millis(5)).await;
    }

    /// Messages are put one after another, not all or none.
    async fn put(&self, accepted: Accepted) -> Result<(), String> {
        for message in accepted.messages {
            self.takes_a_moment().await;
            if !self.world.weather.queue_takes() {
                return Err("an output could not be written".into());
            }
            self.world.clock.book.count(Count::DeadLetters, 1);
            self.world.queue.take(message);
        }
        Ok(())
    }

    fn timed_out(&self) -> String {
        self.world.clock.book.fault(Fault::InvocationTimeout);
        self.host.process.kill(self.world);
        "functionTimeout: the handler is killed".into()
    }
}
