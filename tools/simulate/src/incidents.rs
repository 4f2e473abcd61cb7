//! Incidents, and how the platform and the operators respond.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{World, handler::End, host::Stop, metrics::Fault, operator, regions::OWNERSHIP_TIME, schedule::Incident};

/// The minimum number of documents of a part of the store.
const MIN_DOCUMENTS_OUT: usize = 5;

/// Runs an incident. Returns when it is over.
pub(crate) async fn run(world: Arc<World>, incident: Incident) {
    world.clock.trace(|| format!("{incident:?}"));
    let metrics = &world.clock.metrics;
    match incident {
        Incident::HandlerKilled => {
            if let Some((_, host)) = world.random_host() {
                host.crash_handler(&world);
            }
        }
        Incident::HostKilled => {
            if let Some((_, host)) = world.random_host() {
                metrics.count_fault(Fault::HostKilled);
                host.kill(&world);
                world.replace_dead_host(&host);
            }
        }
        Incident::LeaseLost => {
            if let Some((region, _)) = world.random_host() {
                world.lose_lease(region, world.clock.draw(|rng| rng.usize(..world.schedule.partitions)));
            }
        }
        Incident::ScaleIn(drain_timeout) => scale_in(&world, drain_timeout).await,
        Incident::ScaleOut => {
            if let Some((region, _)) = world.random_host() {
                metrics.count_fault(Fault::ScaleOut);
                let host = world.add_host(region);
                for partition in (0..world.schedule.partitions).filter(|_| world.clock.draw(fastrand::Rng::bool)) {
                    world.assign_partition(region, partition, &host, world.clock.random_millis(2_000));
                }
            }
        }
        Incident::StoreOutage(outage, span) => {
            metrics.count_fault(Fault::StoreOutage);
            world.faults.set_store_outage(Some(outage));
            sleep(span).await;
            world.faults.set_store_outage(None);
        }
        Incident::DocumentFault(fault, span) => {
            // Before, there is nothing with which the handler could compare it.
            while world.store.documents().len() < 2 && world.schedule.max_lag.is_some() {
                sleep(Duration::from_secs(1)).await;
            }
            let ids = world.ids();
            let id = &ids[world.clock.draw(|rng| rng.usize(..ids.len()))];
            world.clock.trace(|| format!("{id} gets a document fault: {fault:?}"));
            world.faults.start_document_fault(id, fault);
            sleep(span).await;
            world.faults.end_document_fault(id);
        }
        Incident::PartialOutage(fault, span) => {
            let documents = world.store.documents();
            let ids: Vec<_> = documents.iter().step_by(3).map(|stored| stored.document.id.clone()).collect();
            // A few documents that are out are faulty documents.
            if ids.len() < MIN_DOCUMENTS_OUT {
                return;
            }
            metrics.count_fault(Fault::PartialOutage);
            world.clock.trace(|| format!("out: {ids:?}"));
            world.faults.start_partial_outage(ids, fault);
            sleep(span).await;
            world.faults.end_partial_outage();
        }
        Incident::QueueOutage(span) => {
            world.faults.set_queue_outage(true);
            sleep(span).await;
            world.faults.set_queue_outage(false);
        }
        Incident::OverflowOutage(span) => {
            world.faults.set_overflow_outage(true);
            sleep(span).await;
            world.faults.set_overflow_outage(false);
        }
        Incident::RegionLost(span) => region_lost(&world, span).await,
        Incident::StoreFailover { lag, after, should_keep_handlers } => {
            store_failover(&world, lag, after, should_keep_handlers).await;
        }
        Incident::HubCreatedAgain => {
            metrics.count_fault(Fault::HubCreatedAgain);
            world.hubs[0].create_again();
        }
        Incident::Replay(longest) => {
            if timeout(longest, operator::replay(&world)).await.is_err() {
                metrics.count_fault(Fault::ReplayKilled);
            }
        }
    }
}

/// Stops a host in order and kills it if that takes too long. Other hosts take over its partitions, in half of the runs while
/// it is still stopping.
async fn scale_in(world: &Arc<World>, max: Duration) {
    let Some((_, host)) = world.random_host() else { return };
    let stop = if world.clock.draw(fastrand::Rng::bool) { Stop::Drain } else { Stop::Terminate };
    world.clock.metrics.count_fault(match stop {
        Stop::Drain => Fault::ScaleIn,
        Stop::Terminate => Fault::HostTerminated,
    });
    let is_overlapping = world.clock.draw(fastrand::Rng::bool);
    if is_overlapping {
        world.reassign_partitions(&host, Duration::from_millis(100));
    }
    let is_stopped = host.stop(stop, max).await;
    if is_stopped {
        host.end();
    } else {
        world.clock.metrics.count_fault(Fault::KilledWhileDraining);
        host.kill(world);
    }
    if !is_overlapping {
        world.reassign_partitions(&host, if is_stopped { Duration::ZERO } else { OWNERSHIP_TIME });
    }
}

/// Loses the first region. Producers continue in the second, whose function app reads its own hub: sequence numbers start
/// again. After `span` the first region recovers, and the remaining events of its hub are read.
async fn region_lost(world: &Arc<World>, span: Duration) {
    world.clock.metrics.count_fault(Fault::RegionLost);
    for host in world.close_region(0) {
        host.kill(world);
    }
    world.set_alias(1);
    world.open_region(1, Duration::ZERO);
    sleep(span).await;
    world.open_region(0, OWNERSHIP_TIME.saturating_sub(span));
    if world.clock.draw(fastrand::Rng::bool) {
        world.set_alias(0);
    }
}

/// Fails the store over, which loses its last writes. Later an operator rewinds the checkpoints to before the loss and
/// restores the dead letters that were replayed since.
async fn store_failover(world: &Arc<World>, lag: Duration, after: Duration, should_keep_handlers: bool) {
    let lost_from = world.clock.now().saturating_sub(lag).saturating_sub(Duration::from_secs(1));
    world.store.fail_over(lag);
    sleep(after).await;
    let hosts = world.stop_owners();
    if !should_keep_handlers {
        for host in &hosts {
            host.process.restart(world, End::Crash);
        }
    }
    for hub in &world.hubs {
        hub.rewind(lost_from);
    }
    world.queue.restore_deleted(lost_from);
    world.start_owners();
}
