//! Replays of events of which nothing is stored.

use std::sync::Arc;

use devicestate_dead_letters::ReplaySummary;
use devicestate_engine::batch::MetadataColumn;
use devicestate_test_doubles::{ScriptedStore, batch, battery, event};
use serde_json::json;

use crate::replaying::{Rig, Run, Trail, dead_letters};

#[tokio::test(start_paused = true)]
async fn an_unrecognized_dead_letter_stays_in_the_queue_and_one_of_iot_hub_itself_is_deleted() {
    let mut batch = batch([event(1, &json!({"deviceId": "pump", "rpm": 1})), battery(2, "drone-1", 0.25)]);
    let source = json!([{}, {"iothub-message-source": "twinChangeEvents"}]).to_string();
    Arc::get_mut(&mut batch.metadata).expect("not shared").system_properties = MetadataColumn::new(source, 2);
    let rig = Rig::with(&dead_letters(batch)).await;
    let (store, trail) = <(Arc<ScriptedStore>, Arc<Trail>)>::default();
    let (scanned, summary) = Run::new(&rig.queue, &store, &trail).replay().await;
    let ReplaySummary { replayed, unrecognized, ignored, applied, .. } = summary;
    assert_eq!((scanned.expect("it ends").deleted, replayed, unrecognized, ignored, applied), (1, 2, 1, 1, 0));
    assert_eq!(rig.visible().await.len(), 1);
    assert_eq!((store.document("pump").await, store.document("drone-1").await), (None, None));
}
