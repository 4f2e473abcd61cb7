//! Crashes an instance while batches are half appended and not checkpointed. Another instance continues from the
//! checkpoints. The lists and the hub survive the crash.

use std::sync::Arc;

use crate::{
    crash_trigger::CrashTrigger,
    dispatch::Broker,
    error::Error,
    instance::{End, Instance},
};

/// Runs one instance until half of all events are appended, and another one until all events are read.
pub(crate) fn run_with_crash(instance: &mut Instance, broker: &Broker) -> Result<(), Error> {
    let half = usize::try_from(instance.plan.all_events() / 2).expect("the events fit into memory");
    instance.crash_trigger = Some(Arc::new(CrashTrigger::new(half)));
    if instance.run_isolated(broker)? == End::Done {
        return Err(Error::NoCrash);
    }
    instance.crash_trigger = None;
    instance.run_isolated(broker).map(|_| ())
}
