//! A region on this machine: a hub under the name of its namespace, the instances of a function app that read it, and the
//! queue of their dead letters. What a region loses when it goes is what a process loses that is killed.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};

use super::{host::Instance, hub::Hub};

/// A region.
pub(super) struct Region {
    /// The namespace's name.
    pub(super) namespace: String,
    /// Its hub.
    pub(super) hub: Arc<Hub>,
    /// What each of its instances is like.
    model: Instance,
    /// How many there are.
    instances: usize,
    hosts: JoinSet<Result<(), String>>,
    at_once: watch::Sender<bool>,
}

impl Region {
    /// A region in which nothing runs yet. Instances without a partition would have nothing to do.
    pub(super) fn new(model: Instance, instances: usize) -> Self {
        let hub = Arc::clone(&model.hub);
        Self {
            namespace: model.source.fully_qualified_namespace.clone(),
            instances: instances.min(hub.partitions()),
            hub,
            model,
            hosts: JoinSet::new(),
            at_once: watch::Sender::new(false),
        }
    }

    /// How many instances share the hub.
    pub(super) fn instances(&self) -> usize {
        self.instances
    }

    /// Starts the instances; each owns its part of the partitions, and reads from the checkpoints on.
    pub(super) fn start(&mut self) {
        self.at_once.send_replace(false);
        for number in 0..self.instances {
            let partitions = (number..self.hub.partitions()).step_by(self.instances).collect();
            let name = format!("{}/{number}", self.namespace);
            let instance = Instance { name, partitions, ..self.model.clone() };
            self.hosts.spawn(instance.run(self.at_once.subscribe()));
        }
    }

    /// Waits until an instance ends, by itself when its hub is closed and empty; `None` when none is left.
    ///
    /// # Errors
    ///
    /// Why it cannot go on.
    pub(super) async fn ended(&mut self) -> Option<Result<(), String>> {
        let ended = self.hosts.join_next().await?;
        Some(ended.unwrap_or_else(|panic| Err(panic.to_string())))
    }

    /// Kills what runs, at once. No checkpoint follows; each instance has ended its handler when this returns.
    pub(super) async fn stop(&mut self) {
        self.at_once.send_replace(true);
        while self.hosts.join_next().await.is_some() {}
    }
}
