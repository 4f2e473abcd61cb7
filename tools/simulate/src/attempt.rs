//! One attempt of a batch: the request, the reply, the outputs.

use std::sync::Arc;

use devicestate_engine::{clock::Clock as _, function_app::MessageEncoding, handler::Response};
use devicestate_local::{
    envelope::{self, Retry},
    reply::{self, Accepted, ReplyError},
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    checks::replies::Invocation,
    handler::{End, Instance},
    hub::EventRange,
    metrics::{Count, Fault},
    pump::Pump,
};

impl Pump<'_> {
    /// Makes one attempt. It goes on after a lost lease and in a stop.
    pub(super) async fn attempt(&self, range: &EventRange, id: &str, retry: Option<&Retry>) -> Result<(), String> {
        let Self { world, partition, host, .. } = self;
        let metrics = &world.clock.metrics;
        let now_ms = world.clock.now_ms();
        let request = envelope::request(&world.function, &partition.source, &range.events, retry, now_ms)?.into();
        let instance = host.process.ready_instance().await;
        let deadline = Instant::now() + world.function_timeout;
        metrics.count(Count::Attempts, 1);
        if world.clock.chance(world.faults.rates().request_lost) {
            return Err(self.wait_for_timeout(&instance, deadline).await);
        }
        self.maybe_crash();
        let attempt = retry.map_or(1, |retry| retry.count + 1);
        let invocation = Invocation::begin(world, partition, range, &instance, attempt);
        let response = match timeout_at(deadline, instance.invoke(id, request)).await {
            Ok(Some(response)) => response,
            Ok(None) => return Err(self.fail_with_handler()),
            Err(_) => {
                world.clock.record_violation("the handler did not reply within functionTimeout");
                return Err(self.kill_after_timeout());
            }
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
        drop(invocation);
        if world.clock.chance(world.faults.rates().reply_lost) {
            metrics.count_fault(Fault::LostReply);
            if world.clock.draw(fastrand::Rng::bool) {
                return Err("the handler's reply was lost".into());
            }
            // Or it comes with the timeout, and counts as failed all the same.
            return Err(self.wait_for_timeout(&instance, deadline).await);
        }
        let accepted = read.map_err(|error| format!("{error:?}"))?;
        self.delay_without_lease(5).await;
        self.put_messages(accepted).await?;
        world.clock.trace(|| format!("{} done", self.describe(range)));
        Ok(())
    }

    /// Perhaps crashes the handler during the attempt or shortly after it.
    fn maybe_crash(&self) {
        let world = Arc::clone(self.world);
        if world.clock.chance(world.faults.rates().killed) {
            let (host, delay) = (Arc::clone(self.host), world.clock.random_millis(30));
            tokio::spawn(async move {
                sleep(delay).await;
                host.crash_handler(&world);
            });
        }
    }

    fn read_reply(&self, status: u16, body: &str) -> Result<Accepted, ReplyError> {
        let content_type = Some("application/json; charset=utf-8");
        let binding = &self.world.function.dead_letters.name;
        reply::read(status, content_type, body.as_bytes(), binding)
    }

    /// Puts the messages one after another, before the checkpoint: if one fails, the earlier ones remain.
    async fn put_messages(&self, accepted: Accepted) -> Result<(), String> {
        let metrics = &self.world.clock.metrics;
        for (index, message) in accepted.messages.into_iter().enumerate() {
            self.delay_briefly().await;
            if !self.world.faults.queue_accepts() {
                if index > 0 {
                    metrics.count_fault(Fault::PartialOutput);
                }
                return Err("an output could not be written".into());
            }
            reply::check_length(&message, MessageEncoding::Base64)?;
            metrics.count(Count::DeadLetters, 1);
            self.world.queue.add(message);
        }
        Ok(())
    }

    /// Waits until `functionTimeout` is over, unless the handler ends before. Returns the reason of the failed attempt.
    async fn wait_for_timeout(&self, instance: &Instance, deadline: Instant) -> String {
        select! {
            biased;
            () = instance.wait_until_killed() => self.fail_with_handler(),
            () = sleep_until(deadline) => self.kill_after_timeout(),
        }
    }

    /// Counts a batch that was in flight when the handler ended, and returns the reason of the failed attempt.
    fn fail_with_handler(&self) -> String {
        self.world.clock.metrics.count_fault(Fault::FailedWithHandler);
        "the handler ended".into()
    }

    /// Kills the handler, as the host does after `functionTimeout`, and returns the reason of the failed attempt. The batches
    /// of all other partitions fail with it.
    fn kill_after_timeout(&self) -> String {
        self.world.clock.metrics.count_fault(Fault::InvocationTimeout);
        self.host.process.restart(self.world, End::TimeOut);
        "functionTimeout: the handler is killed".into()
    }
}
