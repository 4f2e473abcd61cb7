//! Batches of one partition that begin with the same event and are not the same batch: after a lost lease, the host that
//! was the owner goes on with its call, and the next owner may cut the same events into other batches. Both may be one host.

use devicestate_engine::handler::Handler;
use devicestate_test_doubles::{Envelope, Operation::Write, Sent, StoreResponse, final_reply, retry_body};

use crate::retries::{fleet, rig};

/// The ids of two invocations. The host keeps an id through all attempts of an invocation.
const FIRST_OWNER: &str = "9d72c869-eb59-46e3-8515-57fee16deabd";
const NEXT_OWNER: &str = "f7f5b1ff-a8b9-48b0-a605-c0cd8d91abd3";

async fn fail(handler: &Handler, invocation_id: &str, envelope: &Envelope) {
    retry_body(handler.invoke(invocation_id, &envelope.to_bytes()).await);
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_of_an_abandoned_batch_do_not_count_for_the_next_owners() {
    let (store, handler) = rig();
    store.always(Write, "stuck", StoreResponse::transient());
    let abandoned = fleet(&["a", "stuck"]);
    for attempt in 0..4 {
        fail(&handler, FIRST_OWNER, &abandoned.retried(attempt)).await;
    }
    // The lease is lost and the retries are cancelled. The partition comes back, with more events in the batch.
    let next = fleet(&["a", "stuck", "b", "stuck"]);
    for attempt in 0..4 {
        fail(&handler, NEXT_OWNER, &next.retried(attempt)).await;
    }
    let reply = final_reply(handler.invoke(NEXT_OWNER, &next.retried(4).to_bytes()).await);
    assert_eq!(reply.counts(), [0, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn two_owners_batches_with_the_same_first_event_are_counted_separately() {
    let (store, handler) = rig();
    store.always(Write, "stuck", StoreResponse::transient());
    let (one, other) = (fleet(&["a", "stuck"]), fleet(&["a", "stuck", "b"]));
    for attempt in 0..4 {
        fail(&handler, FIRST_OWNER, &one.retried(attempt)).await;
        fail(&handler, NEXT_OWNER, &other.retried(attempt)).await;
    }
    // A third batch, of the first event only, is completed at once.
    let short = Envelope::new([Sent::battery(10, "a", 0.5)]);
    let third = final_reply(handler.invoke("3", &short.to_bytes()).await);
    assert_eq!(third.counts(), [0, 1, 0]);
    let last = final_reply(handler.invoke(FIRST_OWNER, &one.retried(4).to_bytes()).await);
    assert_eq!(last.counts(), [0, 1, 1], "the fifth attempt of five");
}
