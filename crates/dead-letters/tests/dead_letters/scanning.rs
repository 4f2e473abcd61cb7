//! A scan of a queue whose messages become visible again.

use std::sync::Arc;

use async_trait::async_trait;
use devicestate_engine::queue::QueueError;
use devicestate_test_doubles::{ScriptedStore, batch, event};
use serde_json::json;

use crate::replaying::{HookedQueue, Hooks, Rig, Run, Trail, VISIBILITY_TIMEOUT, dead_letters};

/// Lets the visibility timeout of all received messages end before each receive.
struct SlowScan<'a>(&'a Rig);

#[async_trait]
impl Hooks for SlowScan<'_> {
    async fn before(&self, operation: &str) -> Result<(), QueueError> {
        if operation == "receive" {
            self.0.advance(VISIBILITY_TIMEOUT);
        }
        Ok(())
    }
}

/// Such a queue always returns the oldest messages first.
#[tokio::test(start_paused = true)]
async fn a_scan_ends_although_its_messages_become_visible_again() {
    let events = (1..=12).map(|number| event(number, &json!({"battery": 1})));
    let rig = Rig::with(&dead_letters(batch(events))).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let queue = HookedQueue(&rig.queue, SlowScan(&rig));
    let (scanned, summary) = Run::new(&queue, &store, &trail).replay().await;
    assert_eq!((scanned.expect("it ends").received, summary.failed_again, rig.count().await), (4, 4, 12));
    assert!(rig.visible().await.iter().all(|letter| letter.replay.as_ref().is_none_or(|replay| replay.attempts == 1)));
}
