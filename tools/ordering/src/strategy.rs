//! The strategies of delivery.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use devicestate_engine::function_app::Cardinality;
use devicestate_ordering::{order_check::ArrivedLists, plan::Plan};
use indicatif::ProgressBar;

use crate::{
    crash::run_with_crash,
    dispatch::Broker,
    error::Error,
    handler::{hub_function, session_function},
    instance::{Instance, create_runtime},
    lists::ListStore,
};

/// A strategy of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// One invocation per event, those of a batch in parallel: what the Event Hubs extension did before version 5 for
    /// functions with `cardinality: one`. Since version 5 it waits for each, as with batches of one.
    #[value(name = "a")]
    Single,
    /// Batches of one event
    #[value(name = "b")]
    Ones,
    /// Ordered batches
    #[value(name = "c")]
    Batches,
    /// Ordered batches, with a crash
    #[value(name = "d")]
    Crash,
    /// Sessions of a Service Bus queue
    #[value(name = "e")]
    Sessions,
}

/// The result of a strategy.
pub(crate) struct Outcome {
    pub(crate) strategy: Strategy,
    pub(crate) invocations: u64,
    pub(crate) took: Duration,
    pub(crate) arrived: ArrivedLists,
}

impl Strategy {
    pub(crate) const ALL: [Self; 5] = [Self::Single, Self::Ones, Self::Batches, Self::Crash, Self::Sessions];

    pub(crate) fn letter(self) -> char {
        match self {
            Self::Single => 'a',
            Self::Ones => 'b',
            Self::Batches => 'c',
            Self::Crash => 'd',
            Self::Sessions => 'e',
        }
    }

    pub(crate) fn description(self, plan: &Plan) -> String {
        match self {
            Self::Single => "one by one, in parallel".to_owned(),
            Self::Ones => "batches of 1".to_owned(),
            Self::Batches => format!("batches of {}", plan.batch),
            Self::Crash => format!("batches of {}, a crash", plan.batch),
            Self::Sessions => format!("sessions, {} at once", plan.max_sessions),
        }
    }

    /// Creates an instance that reads events with this strategy.
    pub(crate) fn instance<'a>(self, plan: &'a Plan, store: &'a ListStore, bar: &ProgressBar) -> Instance<'a> {
        let (function, batch) = match self {
            Self::Single => (hub_function(Cardinality::One), plan.batch),
            Self::Ones => (hub_function(Cardinality::Many), 1),
            Self::Batches | Self::Crash => (hub_function(Cardinality::Many), plan.batch),
            Self::Sessions => (session_function(), 1),
        };
        Instance::new(plan, store, bar, function, batch)
    }

    /// Creates the hub or queue that this strategy reads, filled with all events.
    pub(crate) async fn fill(self, plan: &Plan) -> Broker {
        match self {
            Self::Sessions => Broker::Sessions(plan.filled_queue().await),
            _ => Broker::Hub(plan.filled_hub().await),
        }
    }

    /// Delivers all events and returns the lists.
    pub(crate) fn run(self, plan: &Plan, store: &ListStore, bar: &ProgressBar) -> Result<Outcome, Error> {
        let runtime = create_runtime()?;
        runtime.block_on(store.clear(plan.all_keys()))?;
        let broker = runtime.block_on(self.fill(plan));
        let mut instance = self.instance(plan, store, bar);
        let started = Instant::now();
        if self == Self::Crash {
            run_with_crash(&mut instance, &broker)?;
        } else {
            instance.run_isolated(&broker)?;
        }
        let took = started.elapsed();
        let arrived = runtime.block_on(store.read(plan.all_keys()))?;
        Ok(Outcome { strategy: self, invocations: instance.invocations.load(Relaxed), took, arrived })
    }
}
