//! The ways in which events are delivered.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use devicestate_engine::function_app::Cardinality;
use devicestate_ordering::{plan::Plan, verdict::Arrived};
use indicatif::ProgressBar;

use crate::{
    crash::live_twice,
    dispatch::Intake,
    error::Error,
    handler::{of_hub, of_sessions},
    instance::{Instance, runtime},
    lists::Place,
};

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// An invocation for each event, those of a pulled batch at once: what the Event Hubs extension did, before its version
    /// 5, with a function that takes one event. (Since then it waits for each, as with batches of one.)
    #[value(name = "a")]
    Single,
    /// Batches of one event.
    #[value(name = "b")]
    Ones,
    /// Ordered batches.
    #[value(name = "c")]
    Batches,
    /// Ordered batches, and a crash in the middle.
    #[value(name = "d")]
    Crash,
    /// Sessions of a Service Bus queue.
    #[value(name = "e")]
    Sessions,
}

/// What a way came to.
pub(crate) struct Outcome {
    pub(crate) way: Way,
    pub(crate) invocations: u64,
    pub(crate) took: Duration,
    pub(crate) arrived: Arrived,
}

impl Way {
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

    pub(crate) fn name(self, plan: &Plan) -> String {
        match self {
            Self::Single => "one by one, in parallel".to_owned(),
            Self::Ones => "batches of 1".to_owned(),
            Self::Batches => format!("batches of {}", plan.batch),
            Self::Crash => format!("batches of {}, a crash", plan.batch),
            Self::Sessions => format!("sessions, {} at once", plan.max_sessions),
        }
    }

    /// An instance that takes events in this way.
    pub(crate) fn instance<'a>(self, plan: &'a Plan, place: &'a Place, bar: &ProgressBar) -> Instance<'a> {
        let (function, batch) = match self {
            Self::Single => (of_hub(Cardinality::One), plan.batch),
            Self::Ones => (of_hub(Cardinality::Many), 1),
            Self::Batches | Self::Crash => (of_hub(Cardinality::Many), plan.batch),
            Self::Sessions => (of_sessions(), 1),
        };
        Instance::new(plan, place, bar, function, batch)
    }

    /// All events, where this way reads them.
    pub(crate) async fn filled(self, plan: &Plan) -> Intake {
        match self {
            Self::Sessions => Intake::Sessions(plan.filled_queue().await),
            _ => Intake::Hub(plan.filled_hub().await),
        }
    }

    /// Delivers all events, and reads the lists.
    pub(crate) fn go(self, plan: &Plan, place: &Place, bar: &ProgressBar) -> Result<Outcome, Error> {
        let runtime = runtime()?;
        runtime.block_on(place.clear(plan.all_keys()))?;
        let intake = runtime.block_on(self.filled(plan));
        let mut instance = self.instance(plan, place, bar);
        let started = Instant::now();
        if self == Self::Crash {
            live_twice(&mut instance, &intake)?;
        } else {
            instance.live(&intake)?;
        }
        let took = started.elapsed();
        let arrived = runtime.block_on(place.read(plan.all_keys()))?;
        Ok(Outcome { way: self, invocations: instance.invocations.load(Relaxed), took, arrived })
    }
}
