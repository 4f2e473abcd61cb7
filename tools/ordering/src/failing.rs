//! One message that fails for as long as anything else can move, and what has to wait for it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_engine::function_app::RetryPolicy;
use devicestate_ordering::{
    plan::{Numbered, Plan},
    verdict::{Arrived, Verdict},
};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{error::Error, fault::Fault, instance::runtime, lists::Place, ways::Way};

/// What waited for the failing event, when nothing else moved any more.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waited {
    pub(crate) way: String,
    pub(crate) keys: usize,
    pub(crate) events: usize,
    /// The events among them that are not of the failing event's own key.
    pub(crate) events_of_other_keys: usize,
    /// How often the failing event was tried, until it succeeded.
    pub(crate) attempts: u32,
    pub(crate) invocations: u64,
    /// In the end, when it had succeeded.
    pub(crate) perfect_lists: usize,
}

/// The plan of this part: a tenth of the events.
pub(crate) fn plan(whole: &Plan) -> Plan {
    Plan { events: whole.events.div_ceil(10), ..whole.clone() }
}

/// The event that fails: the middle one of the first key.
pub(crate) fn failing_event(plan: &Plan) -> Numbered {
    Numbered { key: plan.all_keys().next().expect("at least one key"), number: plan.events.div_ceil(2) }
}

/// Has an event fail in this way, and sees what waits behind it. Of a hub, the batch that has the event is refused whole,
/// under a retry policy without end. A message of a session is abandoned and comes again.
pub(crate) fn behind(way: Way, plan: &Plan, place: &Place, bar: &ProgressBar) -> Result<Waited, Error> {
    let mut instance = way.instance(plan, place, bar);
    instance.function.retry = Some(RetryPolicy::FixedDelay { max_retry_count: -1, delay_interval: Duration::ZERO });
    let fault = Arc::new(Fault::of(failing_event(plan)));
    instance.fault = Some(Arc::clone(&fault));
    let runtime = runtime()?;
    let (then, end) = runtime.block_on(async {
        place.clear(plan.all_keys()).await?;
        let intake = way.filled(plan).await;
        let seen = async {
            // The last failing attempt is held, so whoever made it stands still. When nobody else is busy, nothing moves
            // any more.
            fault.held().await;
            instance.busy.subscribe().wait_for(|busy| *busy == 1).await.expect("the instance has the sender");
            let then = place.read(plan.all_keys()).await?;
            fault.nothing_moves();
            Ok(then)
        };
        let ((), then) = tokio::try_join!(instance.run(&intake), seen)?;
        Ok::<_, Error>((then, place.read(plan.all_keys()).await?))
    })?;
    Ok(Waited::new(way.name(plan), plan, &fault, (&then, &end), instance.invocations.load(Relaxed)))
}

impl Waited {
    /// From the lists as they were when nothing moved, and in the end.
    fn new(way: String, plan: &Plan, fault: &Fault, (then, end): (&Arrived, &Arrived), invocations: u64) -> Self {
        let missing = |list: &Vec<u32>| plan.events as usize - list.len();
        let events = then.values().map(missing).sum();
        Self {
            way,
            keys: then.values().filter(|list| missing(list) > 0).count(),
            events,
            events_of_other_keys: events - missing(&then[&fault.event.key]),
            attempts: fault.attempts(),
            invocations,
            perfect_lists: Verdict::of(end, plan.events).perfect_lists,
        }
    }
}
