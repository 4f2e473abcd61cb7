//! What befalls the system, and what the platform and people then do.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{World, book::Fault, operator, plan::Incident};

/// How long the leases of a killed host last.
const LEASE: Duration = Duration::from_secs(30);

/// Lets an incident happen. Returns when it is over.
pub(crate) async fn happen(world: Arc<World>, incident: Incident) {
    world.clock.trace(|| format!("{incident:?}"));
    let book = &world.clock.book;
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
                let partition = world.clock.draw(|rng| rng.usize(..world.plan.partitions));
                world.lease(region, partition, &host, world.clock.millis(50));
            }
        }
        Incident::ScaleIn(patience) => scale_in(&world, patience).await,
        Incident::ScaleOut => {
            if let Some((region, _)) = world.any_host() {
                book.fault(Fault::ScaleOut);
                let host = world.add_host(region);
                for partition in (0..world.plan.partitions).filter(|_| world.clock.draw(fastrand::Rng::bool)) {
                    world.lease(region, partition, &host, world.clock.millis(2_000));
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
            let id = &ids[world.clock.draw(|rng| rng.usize(..ids.len()))];
            world.clock.trace(|| format!("{id} falls ill: {how:?}"));
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
        Incident::StoreFailover { lag, after, handlers_live } => {
            store_failover(&world, lag, after, handlers_live).await;
        }
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
    world.clock.book.fault(Fault::ScaleIn);
    let others_are_early = world.clock.draw(fastrand::Rng::bool);
    if others_are_early {
        world.replace(region, &host, Duration::from_millis(100));
    }
    if !host.drains(patience).await {
        world.clock.book.fault(Fault::KilledWhileDraining);
    }
    host.kill(world);
    if !others_are_early {
        world.replace(region, &host, Duration::ZERO);
    }
}

/// The first region is gone. Producers go on in the second, whose own function app reads its own hub: sequence numbers
/// begin again. Later the first one is back, and what was left in its hub is read.
async fn region_lost(world: &Arc<World>, span: Duration) {
    world.clock.book.fault(Fault::RegionLost);
    for host in world.close_region(0) {
        host.kill(world);
    }
    world.send_to(1);
    world.open_region(1);
    sleep(span).await;
    world.open_region(0);
    if world.clock.draw(fastrand::Rng::bool) {
        world.send_to(0);
    }
}

/// The store loses its last writes. A person notices later, and takes the checkpoints back by more than what was lost;
/// dead letters that were replayed in that time are put back, too.
async fn store_failover(world: &Arc<World>, lag: Duration, after: Duration, handlers_live: bool) {
    let lost_from = world.clock.now().saturating_sub(lag).saturating_sub(Duration::from_secs(1));
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
