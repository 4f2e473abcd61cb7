use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::test_store::{TestStore, document, options};

/// Returns a store with these devices, and the state that is read from it by a task of the test's runtime.
fn start(devices: &[&str]) -> (Arc<TestStore>, Arc<Shared>) {
    let store = Arc::new(TestStore::default());
    for device in devices {
        store.write(document(device, 1));
    }
    let shared = Shared::new(options(store.clone()));
    tokio::spawn(Poller::new(Arc::clone(&shared)).run());
    (store, shared)
}

/// Returns the ids of the devices in memory, after a time of the test's clock.
async fn ids_after(shared: &Shared, time: Duration) -> Vec<String> {
    sleep(time).await;
    shared.fleet().select(&Filter::EVERY).iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_read_within_the_time_between_two_reads() {
    let (store, shared) = start(&["a"]);
    assert_eq!(ids_after(&shared, Duration::from_millis(1)).await, ["a"]);
    store.write(document("b", 2));
    store.write(document("a", 3));
    assert_eq!(ids_after(&shared, Duration::from_millis(300)).await, ["a", "b"]);
    let revision = shared.fleet().revision();
    assert_eq!(shared.fleet().get("a").map(|device| device.document.clone()), Some(document("a", 3)));
    // Nothing changes, and the documents are not listed again.
    assert_eq!(ids_after(&shared, Duration::from_secs(50)).await.len(), 2);
    assert_eq!((shared.fleet().revision(), store.lists.load(SeqCst)), (revision, 2));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_document_is_noticed_at_the_next_count_even_if_another_one_was_created() {
    let (store, shared) = start(&["a", "b", "c"]);
    assert_eq!(ids_after(&shared, Duration::from_secs(1)).await.len(), 3);
    store.delete("b");
    store.write(document("d", 2));
    assert_eq!(ids_after(&shared, Duration::from_secs(1)).await.len(), 4);
    assert_eq!(ids_after(&shared, Duration::from_mins(1)).await, ["a", "c", "d"]);
    assert_eq!(shared.fleet().removals(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_appears_late_is_read_while_another_device_is_written_all_the_time() {
    let (store, shared) = start(&["a"]);
    store.settling_ms.store(500, SeqCst);
    let began_ms = store.last_written_ms();
    for n in 1..=20 {
        store.write_at(document("a", n), began_ms + n * 250);
        // Committed after the one of "a", whose time is later.
        store.write_at(document(&format!("late-{n:02}"), n), began_ms + n * 250 - 400);
        assert_eq!(ids_after(&shared, Duration::from_millis(300)).await.len(), usize::try_from(n).expect("few") + 1);
        assert_eq!(shared.fleet().get("a").map(|device| device.document.clone()), Some(document("a", n)));
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_documents_do_not_cause_another_list_with_each_count() {
    let store = Arc::new(TestStore::default());
    for id in ["a", "invalid", "invalid too"] {
        store.write(document(id, 1));
    }
    let shared = Shared::new(options(store.clone()));
    tokio::spawn(Poller::new(Arc::clone(&shared)).run());
    sleep(Duration::from_secs(1)).await;
    let lists = store.lists.load(SeqCst);
    sleep(Duration::from_mins(10)).await;
    assert_eq!((store.lists.load(SeqCst), shared.fleet().missing), (lists, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_store_is_reported_until_it_is_over() {
    let (store, shared) = start(&["a"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(shared.fleet().problem, None);
    store.is_failing.store(true, SeqCst);
    store.write(document("b", 2));
    assert_eq!(ids_after(&shared, Duration::from_secs(1)).await, ["a"]);
    let problem = "the store cannot be read: the disk is away";
    assert_eq!(shared.fleet().problem.as_deref(), Some(problem));
    store.is_failing.store(false, SeqCst);
    assert_eq!(ids_after(&shared, Duration::from_secs(2)).await, ["a", "b"]);
    assert_eq!(shared.fleet().problem, None);
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_reads_have_a_price_is_read_only_while_a_page_is_open() {
    let store = Arc::new(TestStore::default());
    let shared = Shared::new(crate::Options { poll: crate::Poll::COSMOS, ..options(store.clone()) });
    tokio::spawn(Poller::new(Arc::clone(&shared)).run());
    sleep(Duration::from_mins(5)).await;
    assert_eq!(store.lists.load(SeqCst), 0);
    let reader = shared.admit_reader();
    sleep(Duration::from_secs(3)).await;
    assert!(store.lists.load(SeqCst) > 0 && shared.fleet().is_loaded);
    drop(reader);
    store.write(document("a", 1));
    assert_eq!(ids_after(&shared, Duration::from_mins(5)).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_list_continues_where_it_was_when_the_store_allows_it() {
    let store = Arc::new(TestStore::default());
    for device in 0..2_500 {
        store.write(document(&format!("device-{device}"), 1));
    }
    store.throttled_list.store(2, SeqCst);
    let shared = Shared::new(options(store.clone()));
    tokio::spawn(Poller::new(Arc::clone(&shared)).run());
    assert_eq!(ids_after(&shared, Duration::from_secs(4)).await.len(), 1_000);
    let problem = shared.fleet().problem.clone().expect("a problem");
    assert!(problem.contains("429"), "{problem}");
    assert!(!shared.fleet().is_loaded);
    assert_eq!(ids_after(&shared, Duration::from_secs(2)).await.len(), 2_500);
    assert_eq!(shared.fleet().problem, None);
    assert!(shared.fleet().is_loaded);
    // Three pages, of which one twice, and the empty one at the end.
    assert_eq!(store.lists.load(SeqCst), 5);
    // The wait was no work: the next read follows soon.
    store.write(document("device-0", 2));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(shared.fleet().get("device-0").map(|device| device.document.clone()), Some(document("device-0", 2)));
}
