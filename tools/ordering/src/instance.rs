//! One instance of the function app, host and handler, in a runtime of its own: when that ends, all of it is gone at once.

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
    dispatch::{Host, Intake},
    error::Error,
    fault::Fault,
    fuse::Fuse,
    handler::Handler,
    lists::Place,
};

/// What an instance is made of, besides what it reads.
#[derive(Clone)]
pub(crate) struct Instance<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) place: &'a Place,
    pub(crate) bar: ProgressBar,
    pub(crate) function: Function,
    /// How many events are pulled from a partition at a time, at the most.
    pub(crate) batch: usize,
    pub(crate) invocations: Arc<AtomicU64>,
    pub(crate) fuse: Option<Arc<Fuse>>,
    pub(crate) fault: Option<Arc<Fault>>,
    /// See [`Host::busy`].
    pub(crate) busy: watch::Sender<usize>,
}

/// How an instance ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has read everything.
    Done,
    /// Its fuse has blown.
    Crashed,
}

impl<'a> Instance<'a> {
    pub(crate) fn new(plan: &'a Plan, place: &'a Place, bar: &ProgressBar, function: Function, batch: usize) -> Self {
        Self {
            plan,
            place,
            bar: bar.clone(),
            function,
            batch,
            invocations: Arc::default(),
            fuse: None,
            fault: None,
            busy: watch::Sender::new(plan.partitions),
        }
    }

    /// Lives until everything has been read, or the fuse has blown.
    pub(crate) fn live(&self, intake: &Intake) -> Result<End, Error> {
        let runtime = runtime()?;
        let ended = runtime.block_on(async {
            let blown = async {
                match &self.fuse {
                    Some(fuse) => fuse.blown().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = self.run(intake) => ended.map(|()| End::Done),
                () = blown => Ok(End::Crashed),
            }
        });
        // Every task of host and handler ends where it waits, and its connections are cut. Nothing is left of them when
        // this returns.
        drop(runtime);
        ended
    }

    /// Host and handler, in the runtime that this is called in.
    pub(crate) async fn run(&self, intake: &Intake) -> Result<(), Error> {
        let lists = self.place.open(self.batch, self.bar.clone(), self.fuse.clone()).await?;
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
        host.run(intake).await
    }
}

/// A runtime with all threads and nothing in it.
pub(crate) fn runtime() -> Result<Runtime, Error> {
    Builder::new_multi_thread().enable_all().build().map_err(Error::Start)
}
