//! Reads batches from each partition, like the Event Hubs extension.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::Source,
    clock::{Clock as _, System},
    function_app::{Cardinality, RetryPolicy},
};
use devicestate_local::{
    envelope::{self, Exception, Retry},
    hub::{BatchLimits, Hub, HubEvent},
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::Host;
use crate::error::Error;

/// Reads all partitions to their end, in parallel.
pub(super) async fn read(host: &Arc<Host>, hub: &Arc<Hub>) -> Result<(), Error> {
    // Dropping the set aborts the tasks.
    let mut pumps = JoinSet::new();
    for partition in 0..hub.partitions() {
        let source = Source {
            fully_qualified_namespace: "ordering.local".to_owned(),
            event_hub_name: "ordered".to_owned(),
            consumer_group: "ordering".to_owned(),
            partition_id: partition.to_string(),
            ..Source::default()
        };
        let pump = Pump { host: Arc::clone(host), source };
        let hub = Arc::clone(hub);
        pumps.spawn(async move { pump.run(&hub, partition).await });
    }
    while let Some(ended) = pumps.join_next().await {
        ended.expect("the task neither panics nor is aborted")?;
        host.busy.send_replace(pumps.len());
    }
    Ok(())
}

/// The reader of one partition.
#[derive(Clone)]
struct Pump {
    host: Arc<Host>,
    source: Source,
}

impl Pump {
    /// Reads from the checkpoint on: processes a batch completely, writes the checkpoint, and reads the next batch.
    async fn run(&self, hub: &Hub, partition: usize) -> Result<(), Error> {
        let mut next = hub.checkpoint(partition);
        let limits = BatchLimits { min_events: 1, max_events: self.host.batch, max_wait: Duration::ZERO };
        while let Some(events) = hub.receive(partition, next, limits).await {
            next = events.last().map_or(next, |event| event.sequence_number + 1);
            match self.host.function.trigger.cardinality() {
                Cardinality::Many => self.invoke(&events).await?,
                Cardinality::One => self.invoke_each(events).await?,
            }
            hub.set_checkpoint(partition, next);
        }
        Ok(())
    }

    /// Starts one invocation per event, in order, without waiting for the previous one.
    async fn invoke_each(&self, events: Vec<Arc<HubEvent>>) -> Result<(), Error> {
        let slots = Arc::new(Semaphore::new(self.host.plan.at_once));
        let mut invocations = JoinSet::new();
        for event in events {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is not closed");
            let pump = self.clone();
            invocations.spawn(async move {
                let _slot = slot;
                pump.invoke(&[event]).await
            });
        }
        while let Some(ended) = invocations.join_next().await {
            ended.expect("the task neither panics nor is aborted")?;
        }
        Ok(())
    }

    /// Makes one invocation with the retries of the policy, without their delays, which would only take time.
    async fn invoke(&self, events: &[Arc<HubEvent>]) -> Result<(), Error> {
        let function = &self.host.function;
        let invocation_id = uuid::Uuid::new_v4().to_string();
        let max_count = function.retry.as_ref().map(RetryPolicy::max_retry_count);
        let mut retry = Retry { max_count: max_count.unwrap_or_default(), ..Retry::default() };
        loop {
            let policy = max_count.map(|_| &retry);
            let request = envelope::request(function, &self.source, events, policy, System.now_ms());
            let request = request.map_err(Error::Invocation)?;
            let Err(failed) = self.host.attempt(&invocation_id, request).await else { return Ok(()) };
            if max_count.is_none_or(|max| max >= 0 && i64::from(retry.count) >= max) {
                return Err(Error::Invocation(failed));
            }
            retry.count += 1;
            retry.exception = Some(Exception::new(&invocation_id, failed));
        }
    }
}
