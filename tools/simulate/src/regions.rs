//! The function apps of the two regions: their hosts, and the partitions that each host owns.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use super::{World, host::Host, metrics::Fault, pump::read_as_owner};

/// How long the partitions of a host that was not stopped in order stay owned.
pub(super) const OWNERSHIP_TIME: Duration = Duration::from_mins(2);

/// A region's function app.
pub(super) struct Region {
    is_open: bool,
    hosts: Vec<Arc<Host>>,
    /// The number of hosts started so far.
    started: usize,
    /// The number of the host that owns each partition.
    owners: Vec<Option<usize>>,
}

impl Region {
    pub(super) fn new(partitions: usize) -> Self {
        Self { is_open: false, hosts: Vec::new(), started: 0, owners: vec![None; partitions] }
    }
}

impl World {
    fn regions(&self) -> MutexGuard<'_, [Region; 2]> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a random host with its region; `None` if there are no hosts.
    pub(super) fn random_host(&self) -> Option<(usize, Arc<Host>)> {
        let regions = self.regions();
        let hosts: Vec<_> = (0..regions.len())
            .flat_map(|region| regions[region].hosts.iter().map(move |host| (region, Arc::clone(host))))
            .collect();
        let random_index = |count| self.clock.draw(|rng| rng.usize(..count));
        (!hosts.is_empty()).then(|| hosts[random_index(hosts.len())].clone())
    }

    pub(super) fn add_host(self: &Arc<Self>, region: usize) -> Arc<Host> {
        let mut regions = self.regions();
        let number = regions.iter().map(|region| region.started).sum();
        let host = Host::start(self, region, number);
        regions[region].started += 1;
        regions[region].hosts.push(Arc::clone(&host));
        host
    }

    /// Makes a host the owner of a partition; it starts to read after this delay.
    pub(super) fn assign_partition(
        self: &Arc<Self>,
        region: usize,
        partition: usize,
        host: &Arc<Host>,
        after: Duration,
    ) {
        {
            let mut regions = self.regions();
            regions[region].owners[partition] = Some(host.number);
        }
        let lease = self.hubs[region].partitions[partition].new_lease();
        let (world, host) = (Arc::clone(self), Arc::clone(host));
        tokio::spawn(async move {
            sleep(after).await;
            read_as_owner(world, host, partition, lease).await;
        });
    }

    /// Gives a partition to another host of its region, or to the same one again; its owner may have a call in flight.
    pub(super) fn lose_lease(self: &Arc<Self>, region: usize, partition: usize) {
        let hosts = self.regions()[region].hosts.clone();
        if hosts.is_empty() {
            return;
        }
        self.clock.metrics.count_fault(Fault::LostLease);
        let host = &hosts[self.clock.draw(|rng| rng.usize(..hosts.len()))];
        self.assign_partition(region, partition, host, self.clock.random_millis(50));
    }

    /// Assigns the partitions of a dead host to another one, when they are not owned any more.
    pub(super) fn replace_dead_host(self: &Arc<Self>, dead: &Arc<Host>) {
        self.reassign_partitions(dead, OWNERSHIP_TIME);
    }

    /// Assigns the partitions of a stopped host to another one, or to a new one if there is no other.
    pub(super) fn reassign_partitions(self: &Arc<Self>, stopped: &Arc<Host>, after: Duration) {
        let region = stopped.region;
        let (partitions, remaining) = {
            let mut regions = self.regions();
            let region = &mut regions[region];
            if !region.is_open {
                return;
            }
            region.hosts.retain(|host| host.number != stopped.number);
            let owned = |partition: &usize| region.owners[*partition] == Some(stopped.number);
            let partitions: Vec<_> = (0..region.owners.len()).filter(owned).collect();
            (partitions, region.hosts.first().cloned())
        };
        let host = remaining.unwrap_or_else(|| self.add_host(region));
        for partition in partitions {
            self.assign_partition(region, partition, &host, after);
        }
    }

    /// Starts the hosts of a region and distributes its partitions among them; they start to read after this delay.
    pub(super) fn open_region(self: &Arc<Self>, region: usize, after: Duration) {
        let is_open = {
            let mut regions = self.regions();
            std::mem::replace(&mut regions[region].is_open, true)
        };
        if is_open {
            return;
        }
        let hosts: Vec<_> = (0..self.schedule.hosts).map(|_| self.add_host(region)).collect();
        for partition in 0..self.schedule.partitions {
            self.assign_partition(region, partition, &hosts[partition % hosts.len()], after);
        }
    }

    /// Closes a region, revokes its leases and returns its hosts.
    pub(super) fn close_region(&self, region: usize) -> Vec<Arc<Host>> {
        let mut regions = self.regions();
        regions[region].is_open = false;
        regions[region].owners.fill(None);
        for partition in &self.hubs[region].partitions {
            partition.new_lease();
        }
        std::mem::take(&mut regions[region].hosts)
    }

    /// Stops the reading of all partitions; the hosts keep running. Returns the hosts.
    pub(super) fn stop_owners(&self) -> Vec<Arc<Host>> {
        let regions = self.regions();
        for partition in self.hubs.iter().flat_map(|hub| &hub.partitions) {
            partition.stop_owners();
        }
        regions.iter().flat_map(|region| region.hosts.clone()).collect()
    }

    /// Assigns the partitions to their previous owners again.
    pub(super) fn start_owners(self: &Arc<Self>) {
        for region in 0..self.hubs.len() {
            let (owners, hosts) = {
                let regions = self.regions();
                (regions[region].owners.clone(), regions[region].hosts.clone())
            };
            let Some(first) = hosts.first() else { continue };
            for (partition, owner) in owners.into_iter().enumerate() {
                let host = hosts.iter().find(|host| Some(host.number) == owner).unwrap_or(first);
                self.assign_partition(region, partition, host, Duration::ZERO);
            }
        }
    }
}
