//! Dead letters of devices whose documents still fail: many of them look like an outage.

use std::sync::Arc;

use devicestate_test_doubles::{ANY, Operation, ScriptedStore, StoreResponse, batch, battery};

use crate::replaying::{Rig, Run, Trail, dead_letters};

#[tokio::test(start_paused = true)]
async fn dead_letters_of_many_faulty_devices_fail_again_and_the_others_are_applied() {
    for answer in [StoreResponse::transient(), StoreResponse::refused()] {
        let names = ["s0", "s1", "s2", "s3", "s4", "s5", "good"];
        let rig = Rig::with(&dead_letters(batch((1..).zip(names).map(|(n, name)| battery(n, name, 0.5))))).await;
        let store = Arc::new(ScriptedStore::default());
        names[..6].iter().for_each(|name| store.always(Operation::Write, name, answer.clone()));
        let trail = Arc::<Trail>::default();
        let run = Run { chunk_size: 8, ..Run::new(&rig.queue, &store, &trail) };
        let (_, summary) = run.replay().await;
        assert_eq!((summary.applied, summary.failed_again, summary.reason), (1, 6, None), "{answer:?}");
        assert_eq!(rig.count().await, 6, "they stay");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_a_replay_without_a_failed_attempt_of_any_dead_letter() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let rig = Rig::with(&dead_letters(batch((1..).zip(names).map(|(n, name)| battery(n, name, 0.5))))).await;
    let store = Arc::new(ScriptedStore::default());
    store.always(Operation::Write, ANY, StoreResponse::transient());
    let (_, summary) = Run::new(&rig.queue, &store, &Arc::<Trail>::default()).replay().await;
    assert_eq!((summary.applied, summary.failed_again), (0, 0));
    assert!(summary.reason.is_some());
}
