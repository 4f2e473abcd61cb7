//! What befalls the system, and what the platform and people then do.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    World,
    book::Fault,
    host::{Host, LEASE},
    operator,
    plan::Incident,
};

/// Lets an incident happen. Returns when it is over.
pub(crate) async fn happen(world: Arc<World>, incident: Incident) {
    world.surroundings.trace(|| format!("{incident:?}"));
    let book = &world.surroundings.book;
    match incident {
        Incident::HandlerKilled => {
            if let Some((_, host)) = world.any_host() {
                book.fault(Fault::HandlerKilled);
                host.process.kill(&world);
            }
        }
        Incident::HostKilled => {
            if let Some((region, host)) = world.any_host() {
                book.fault(Fault::HostKilled);
                host.kill(&world);
                world.replace(region, &host, LEASE);
            }
        }
        Incident::LeaseLost => {
            if let Some((region, host)) = world.any_host() {
                book.fault(Fault::LostLease);
                let partition = world.surroundings.draw(|rng| rng.usize(..world.plan.partitions));
                world.lease(region, partition, &host, world.surroundings.millis(50));
            }
        }
        Incident::ScaleIn(patience) => scale_in(&world, patience).await,
        Incident::ScaleOut => {
            if let Some((region, _)) = world.any_host() {
                book.fault(Fault::ScaleOut);
                let host = world.add_host(region);
                for partition in (0..world.plan.partitions).filter(|_| world.surroundings.draw(fastrand::Rng::bool)) {
                    world.lease(region, partition, &host, world.surroundings.millis(2_000));
                }
            }
        }
        Incident::StoreOut(how, span) => {
            book.fault(Fault::StoreOutage);
            world.weather.store_is_out(Some(how));
            sleep(span).await;
            world.weather.store_is_out(None);
        }
        Incident::DeviceIll(how, span) => {
            let ids = world.ids();
            let id = &ids[world.surroundings.draw(|rng| rng.usize(..ids.len()))];
            world.surroundings.trace(|| format!("{id} falls ill: {how:?}"));
            world.weather.falls_ill(id, how);
            sleep(span).await;
            world.weather.gets_well(id);
        }
        Incident::QueueOut(span) => {
            world.weather.queue_is_out(true);
            sleep(span).await;
            world.weather.queue_is_out(false);
        }
        Incident::OverflowOut(span) => {
            world.weather.overflow_is_out(true);
            sleep(span).await;
            world.weather.overflow_is_out(false);
        }
        Incident::RegionLost(span) => region_lost(&world, span).await,
        Incident::StoreFailover { lag, after, handlers_live } => store_failover(&world, lag, after, handlers_live).await,
        Incident::Replay(longest) => {
            if timeout(longest, operator::replay(&world)).await.is_err() {
                book.fault(Fault::ReplayKilled);
            }
        }
    }
}

/// A host is drained; it is killed where that takes too long. Others take its partitions at once, some of them while it
/// still works.
async fn scale_in(world: &Arc<World>, patience: Duration) {
    let Some((region, host)) = world.any_host() else { return };
    world.surroundings.book.fault(Fault::ScaleIn);
    let others_are_early = world.surroundings.draw(fastrand::Rng::bool);
    if others_are_early {
        world.replace(region, &host, Duration::from_millis(100));
    }
    if !host.drains(patience).await {
        world.surroundings.book.fault(Fault::KilledWhileDraining);
    }
    host.kill(world);
    if !others_are_early {
        world.replace(region, &host, Duration::ZERO);
    }
}

/// The first region is gone. Producers go on in the second, whose own function app reads its own hub: sequence numbers
/// begin again. Later the first one is back, and what was left in its hub is read.
async fn region_lost(world: &Arc<World>, span: Duration) {
    world.surroundings.book.fault(Fault::RegionLost);
    for host in world.close_region(0) {
        host.kill(world);
    }
    world.send_to(1);
    world.open_region(1);
    sleep(span).await;
    world.open_region(0);
    if world.surroundings.draw(fastrand::Rng::bool) {
        world.send_to(0);
    }
}

/// The store loses its last writes. A person notices later, and takes the checkpoints back by more than what was lost;
/// dead letters that were replayed in that time are put back, too.
async fn store_failover(world: &Arc<World>, lag: Duration, after: Duration, handlers_live: bool) {
    let lost_from = world.surroundings.now().saturating_sub(lag).saturating_sub(Duration::from_secs(1));
    world.store.fails_over(lag);
    sleep(after).await;
    let hosts = world.stop_owners();
    if !handlers_live {
        for host in &hosts {
            host.process.kill(world);
        }
    }
    for hub in &world.hubs {
        hub.rewind(lost_from);
    }
    world.queue.put_back(lost_from);
    world.start_owners();
}

impl World {
    /// Some host, with its region, unless there is none.
    fn any_host(&self) -> Option<(usize, Arc<Host>)> {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let hosts: Vec<_> = (0..regions.len())
            .flat_map(|region| regions[region].hosts.iter().map(move |host| (region, Arc::clone(host))))
            .collect();
        let some = |count| self.surroundings.draw(|rng| rng.usize(..count));
        (!hosts.is_empty()).then(|| hosts[some(hosts.len())].clone())
    }

    pub(super) fn add_host(self: &Arc<Self>, region: usize) -> Arc<Host> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let number = regions.iter().map(|region| region.started).sum();
        let host = Host::start(self, number);
        regions[region].started += 1;
        regions[region].hosts.push(Arc::clone(&host));
        host
    }

    /// Makes a host the owner of a partition, which begins to read it after some time.
    fn lease(self: &Arc<Self>, region: usize, partition: usize, host: &Arc<Host>, after: Duration) {
        {
            let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
            regions[region].owners[partition] = Some(host.number);
        }
        let lease = self.hubs[region].partitions[partition].new_lease();
        let (world, host) = (Arc::clone(self), Arc::clone(host));
        tokio::spawn(async move {
            sleep(after).await;
            host.own(world, region, partition, lease).await;
        });
    }

    /// Gives the partitions of a host that goes to another one: an old one, or a new one where none is left.
    fn replace(self: &Arc<Self>, region: usize, gone: &Arc<Host>, after: Duration) {
        let (partitions, left) = {
            let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
            let region = &mut regions[region];
            region.hosts.retain(|host| host.number != gone.number);
            let owned = |partition: &usize| region.owners[*partition] == Some(gone.number);
            let partitions: Vec<_> = (0..region.owners.len()).filter(owned).collect();
            (partitions, region.hosts.first().cloned())
        };
        let host = left.unwrap_or_else(|| self.add_host(region));
        for partition in partitions {
            self.lease(region, partition, &host, after);
        }
    }

    /// Starts the hosts of a region, which share its partitions.
    pub(super) fn open_region(self: &Arc<Self>, region: usize) {
        let is_open = {
            let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut regions[region].is_open, true)
        };
        if is_open {
            return;
        }
        let hosts: Vec<_> = (0..self.plan.hosts).map(|_| self.add_host(region)).collect();
        for partition in 0..self.plan.partitions {
            self.lease(region, partition, &hosts[partition % hosts.len()], Duration::ZERO);
        }
    }

    /// The hosts of a region that is gone.
    fn close_region(&self, region: usize) -> Vec<Arc<Host>> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions[region].is_open = false;
        regions[region].owners.fill(None);
        for partition in &self.hubs[region].partitions {
            partition.new_lease();
        }
        std::mem::take(&mut regions[region].hosts)
    }

    /// Takes all partitions from their owners; the hosts stay.
    pub(super) fn stop_owners(&self) -> Vec<Arc<Host>> {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        for hub in &self.hubs {
            for partition in &hub.partitions {
                partition.new_lease();
            }
        }
        regions.iter().flat_map(|region| region.hosts.clone()).collect()
    }

    /// Gives the partitions to hosts again, as they had them.
    pub(super) fn start_owners(self: &Arc<Self>) {
        for region in 0..self.hubs.len() {
            let (owners, hosts) = {
                let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
                (regions[region].owners.clone(), regions[region].hosts.clone())
            };
            let Some(first) = hosts.first() else { continue };
            for (partition, owner) in owners.into_iter().enumerate() {
                let host = hosts.iter().find(|host| Some(host.number) == owner).unwrap_or(first);
                self.lease(region, partition, host, Duration::ZERO);
            }
        }
    }
}
