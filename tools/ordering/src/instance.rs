//! One instance of the function app, host and handler, in its own runtime. Dropping the runtime ends both immediately.

use std::sync::{Arc, atomic::AtomicU64};

use devicestate_engine::function_app::Function;
use devicestate_local::endpoint::Endpoint;
use devicestate_ordering::plan::Plan;
use indicatif::ProgressBar;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use crate::{
    crash_trigger::CrashTrigger,
    dispatch::{Broker, Host},
    error::Error,
    fault::Fault,
    handler::Handler,
    lists::ListStore,
};

/// The parts of an instance, except for the broker that it reads.
#[derive(Clone)]
pub(crate) struct Instance<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) store: &'a ListStore,
    pub(crate) bar: ProgressBar,
    pub(crate) function: Function,
    /// The maximum number of events read from a partition at a time.
    pub(crate) batch: usize,
    pub(crate) invocations: Arc<AtomicU64>,
    pub(crate) crash_trigger: Option<Arc<CrashTrigger>>,
    pub(crate) fault: Option<Arc<Fault>>,
    /// See [`Host::busy`].
    pub(crate) busy: watch::Sender<usize>,
}

/// How an instance ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All events were read.
    Done,
    /// Its crash trigger fired.
    Crashed,
}

impl<'a> Instance<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        store: &'a ListStore,
        bar: &ProgressBar,
        function: Function,
        batch: usize,
    ) -> Self {
        Self {
            plan,
            store,
            bar: bar.clone(),
            function,
            batch,
            invocations: Arc::default(),
            crash_trigger: None,
            fault: None,
            busy: watch::Sender::new(plan.partitions),
        }
    }

    /// Runs in its own runtime until all events are read, or the crash trigger fires.
    pub(crate) fn run_isolated(&self, broker: &Broker) -> Result<End, Error> {
        let runtime = create_runtime()?;
        let ended = runtime.block_on(async {
            let fired = async {
                match &self.crash_trigger {
                    Some(crash_trigger) => crash_trigger.wait_until_fired().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = self.run(broker) => ended.map(|()| End::Done),
                () = fired => Ok(End::Crashed),
            }
        });
        // Ends every task of host and handler at its current await, and closes its connections.
        drop(runtime);
        ended
    }

    /// Runs host and handler in the current runtime.
    pub(crate) async fn run(&self, broker: &Broker) -> Result<(), Error> {
        let lists = self.store.open(self.batch, self.bar.clone(), self.crash_trigger.clone()).await?;
        let (plan, function) = (self.plan.clone(), self.function.clone());
        let handler = Handler { plan, function: function.clone(), lists, fault: self.fault.clone() };
        let port = handler.start().await.map_err(Error::Start)?;
        let host = Host {
            plan: self.plan.clone(),
            endpoint: Endpoint::new(port, &function.name),
            function,
            batch: self.batch,
            invocations: Arc::clone(&self.invocations),
            busy: self.busy.clone(),
        };
        host.run(broker).await
    }
}

/// Creates a multi-threaded runtime.
pub(crate) fn create_runtime() -> Result<Runtime, Error> {
    Builder::new_multi_thread().enable_all().build().map_err(Error::Start)
}
