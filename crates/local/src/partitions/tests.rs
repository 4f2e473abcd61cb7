use std::time::Duration;

use devicestate_engine::function_app::RetryPolicy;
use devicestate_terminal::interrupt::Shutdown;
use serde_json::json;

use super::*;
use crate::{host::Instance, hub::Options, process::State, test_host::TestHost};

/// Returns a hub with one partition and this many events.
async fn hub(events: usize) -> Arc<Hub> {
    let hub = Arc::new(Hub::new(1, Options { retains_events: true, ..Options::default() }));
    send(&hub, events).await;
    hub
}

async fn send(hub: &Hub, events: usize) {
    for _ in 0..events {
        hub.send(Sent { body: b"{}".to_vec(), ..Sent::default() }).await;
    }
}

/// Sets a retry policy, and hands over every batch immediately.
fn with_delay(delay: Duration) -> impl FnOnce(&mut Instance) {
    move |instance| {
        instance.function.retry = Some(RetryPolicy::FixedDelay { max_retry_count: -1, delay_interval: delay });
        instance.host.extensions.event_hubs.min_event_batch_size = 1;
    }
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_host_that_stops_waits_for_its_batch_and_writes_its_outputs_but_no_checkpoint() {
    let hub = hub(3).await;
    let mut first = TestHost::new(false, with_delay(HOUR)).await;
    let reading = first.read(&hub);
    let batch = first.invocation().await;
    first.shutdown.send_replace(Shutdown::Draining);
    send(&hub, 2).await;
    first.settle().await;
    assert!(!reading.is_finished());
    batch.succeed();
    reading.await.expect("it ends");
    assert_eq!((hub.checkpoint(0), first.dead_letters().await, first.has_invocation()), (0, 1, false));

    let mut second = TestHost::new(false, with_delay(HOUR)).await;
    let reading = second.read(&hub);
    let batch = second.invocation().await;
    assert_eq!(batch.sequence_numbers(), [0, 1, 2, 3, 4], "the batch is delivered again");
    hub.close();
    batch.succeed();
    reading.await.expect("it ends");
    assert_eq!(hub.checkpoint(0), 5, "the end of the input is not a stop");
}

#[tokio::test]
async fn a_host_that_stops_cancels_retries_and_sets_no_checkpoint() {
    for is_waiting in [false, true] {
        let hub = hub(1).await;
        let mut host = TestHost::new(false, with_delay(HOUR)).await;
        let reading = host.read(&hub);
        let batch = host.invocation().await;
        if is_waiting {
            batch.fail();
            host.wait_for_failed_attempts(1).await;
            host.shutdown.send_replace(Shutdown::Draining);
        } else {
            host.shutdown.send_replace(Shutdown::Draining);
            batch.fail();
        }
        reading.await.expect("it ends");
        assert_eq!((hub.checkpoint(0), host.has_invocation()), (0, false));
        assert_eq!(host.host.instance.statistics.batches().lost, 0);
    }
}

#[tokio::test]
async fn a_batch_without_retries_is_not_lost_if_its_host_stops() {
    let hub = hub(1).await;
    let mut host = TestHost::new(false, |instance| instance.function.retry = None).await;
    let reading = host.read(&hub);
    let batch = host.invocation().await;
    host.shutdown.send_replace(Shutdown::Draining);
    batch.fail();
    reading.await.expect("it ends");
    assert_eq!((hub.checkpoint(0), host.host.instance.statistics.batches().lost), (0, 0));
}

#[tokio::test]
async fn all_attempts_of_a_batch_have_the_same_invocation_id() {
    let hub = hub(1).await;
    let mut host = TestHost::new(false, with_delay(Duration::ZERO)).await;
    let reading = host.read(&hub);
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let attempt = host.invocation().await;
        attempts.push((attempt.id.clone(), attempt.metadata("RetryContext")["RetryCount"].clone()));
        if attempts.len() < 3 { attempt.fail() } else { attempt.succeed() }
    }
    send(&hub, 1).await;
    let next = host.invocation().await;
    let id = &attempts[0].0;
    assert_eq!(attempts, [(id.clone(), json!(0)), (id.clone(), json!(1)), (id.clone(), json!(2))]);
    assert_ne!(&next.id, id);
    hub.close();
    next.succeed();
    reading.await.expect("it ends");
}

#[tokio::test]
async fn an_owner_that_has_lost_its_lease_writes_its_outputs_and_sets_the_new_owners_checkpoint_back() {
    let hub = hub(4).await;
    let mut host = TestHost::new(false, with_delay(HOUR)).await;
    let lease_switch = Arc::clone(&host.host.instance.lease_switch);
    lease_switch.arm();
    let reading = host.read(&hub);
    for batch in [[0, 1], [2, 3]] {
        let invocation = host.invocation().await;
        assert_eq!(invocation.sequence_numbers(), batch, "the new owner reads the same events in other batches");
        invocation.succeed();
    }
    send(&hub, 1).await;
    host.invocation().await.succeed();
    hub.wait_until_unread_at_most(0).await;
    assert_eq!((hub.checkpoint(0), host.dead_letters().await), (5, 3));

    let released = tokio::spawn(async move { lease_switch.release().await });
    let old_call = host.invocation().await;
    assert_eq!(old_call.sequence_numbers(), [0, 1, 2, 3]);
    old_call.succeed();
    released.await.expect("it ends");
    assert_eq!((hub.checkpoint(0), host.dead_letters().await), (4, 4));
    assert_eq!(hub.unread(), 1);

    send(&hub, 1).await;
    let next = host.invocation().await;
    assert_eq!(next.sequence_numbers(), [5], "nothing is repeated at once");
    host.shutdown.send_replace(Shutdown::Draining);
    next.succeed();
    reading.await.expect("it ends");
    let mut next = TestHost::new(false, with_delay(HOUR)).await;
    next.read(&hub);
    assert_eq!(next.invocation().await.sequence_numbers(), [4, 5], "the next owner begins there");
}

#[tokio::test]
async fn an_owner_that_has_lost_its_lease_does_not_retry_and_sets_no_checkpoint_after_a_failure() {
    let hub = hub(1).await;
    let mut host = TestHost::new(false, with_delay(Duration::ZERO)).await;
    let lease_switch = Arc::clone(&host.host.instance.lease_switch);
    lease_switch.arm();
    let reading = host.read(&hub);
    host.invocation().await.succeed();
    send(&hub, 1).await;
    host.invocation().await.succeed();
    hub.wait_until_unread_at_most(0).await;
    let released = tokio::spawn(async move { lease_switch.release().await });
    host.invocation().await.fail();
    released.await.expect("it ends");
    hub.close();
    reading.await.expect("it ends");
    assert_eq!((hub.checkpoint(0), host.has_invocation()), (2, false));
}

#[tokio::test]
async fn a_reply_after_the_function_timeout_counts_as_failed() {
    let hub = hub(1).await;
    let edit = |instance: &mut Instance| {
        with_delay(Duration::ZERO)(instance);
        instance.host.function_timeout = Some(Duration::from_secs(2));
    };
    let mut host = TestHost::new(false, edit).await;
    let reading = host.read(&hub);
    let late = host.invocation().await;
    host.wait_for_failed_attempts(1).await;
    late.succeed();
    assert_eq!(*host.host.process.watch().borrow(), State::Starting, "the host restarts the handler");
    host.host.process.set_ready();
    host.invocation().await.succeed();
    hub.close();
    reading.await.expect("it ends");
    assert_eq!((hub.checkpoint(0), host.dead_letters().await), (1, 1), "the late reply has no outputs");
}
