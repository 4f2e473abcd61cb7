//! One message that fails until no other event can be processed, and the events that it blocks.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_engine::function_app::RetryPolicy;
use devicestate_ordering::{
    order_check::{ArrivedLists, OrderCheck},
    plan::{Numbered, Plan},
};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{error::Error, fault::Fault, instance::create_runtime, lists::ListStore, strategy::Strategy};

/// The events that the failing event blocked.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockedEvents {
    pub(crate) strategy: char,
    pub(crate) description: String,
    pub(crate) keys: usize,
    pub(crate) events: usize,
    /// The blocked events of other keys than the failing event's.
    pub(crate) events_of_other_keys: usize,
    /// The number of attempts until the failing event succeeded.
    pub(crate) attempts: u32,
    pub(crate) invocations: u64,
    /// The perfect lists at the end, after the failing event succeeded.
    pub(crate) perfect_lists: usize,
}

/// Returns the parameters of this part: a tenth of the events.
pub(crate) fn plan(complete: &Plan) -> Plan {
    Plan { events: complete.events.div_ceil(10), ..complete.clone() }
}

/// Returns the event that fails: the middle one of the first key.
pub(crate) fn failing_event(plan: &Plan) -> Numbered {
    Numbered { key: plan.all_keys().next().expect("at least one key"), number: plan.events.div_ceil(2) }
}

/// Runs a strategy with a failing event, and returns the events that it blocks. From a hub, the entire
/// batch with the event fails, and the retry policy has no limit. A message of a session is abandoned and redelivered.
pub(crate) fn measure_blocked(
    strategy: Strategy,
    plan: &Plan,
    store: &ListStore,
    bar: &ProgressBar,
) -> Result<BlockedEvents, Error> {
    let mut instance = strategy.instance(plan, store, bar);
    instance.function.retry = Some(RetryPolicy::FixedDelay { max_retry_count: -1, delay_interval: Duration::ZERO });
    let fault = Arc::new(Fault::new(failing_event(plan)));
    instance.fault = Some(Arc::clone(&fault));
    let runtime = create_runtime()?;
    let (blocked, end) = runtime.block_on(async {
        store.clear(plan.all_keys()).await?;
        let broker = strategy.fill(plan).await;
        let observed = async {
            // The last failing attempt is held, so its reader waits. When no other reader is busy, no other event can be
            // processed.
            fault.wait_until_held().await;
            instance.busy.subscribe().wait_for(|busy| *busy == 1).await.expect("the instance has the sender");
            let blocked = store.read(plan.all_keys()).await?;
            fault.release();
            Ok(blocked)
        };
        let ((), blocked) = tokio::try_join!(instance.run(&broker), observed)?;
        Ok::<_, Error>((blocked, store.read(plan.all_keys()).await?))
    })?;
    Ok(BlockedEvents::new(strategy, plan, &fault, (&blocked, &end), instance.invocations.load(Relaxed)))
}

impl BlockedEvents {
    /// Computes the result from the lists while events were blocked, and at the end.
    fn new(
        strategy: Strategy,
        plan: &Plan,
        fault: &Fault,
        (blocked, end): (&ArrivedLists, &ArrivedLists),
        invocations: u64,
    ) -> Self {
        let missing = |list: &Vec<u32>| plan.events as usize - list.len();
        let events = blocked.values().map(missing).sum();
        Self {
            strategy: strategy.letter(),
            description: strategy.description(plan),
            keys: blocked.values().filter(|list| missing(list) > 0).count(),
            events,
            events_of_other_keys: events - missing(&blocked[&fault.event.key]),
            attempts: fault.attempts(),
            invocations,
            perfect_lists: OrderCheck::new(end, plan.events).perfect_lists,
        }
    }
}
