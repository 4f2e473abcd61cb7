//! The silence watch over a store that fails, limits the load, is slow or rejects a document.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_the_run_and_the_next_one_examines_the_rest() {
    let rig = Rig::new();
    for number in 0..1_200 {
        rig.store.put(&format!("{number:04}"), number).await;
    }
    // The second page.
    rig.store.scripted.respond(Write, "1100", [StoreResponse::throttled(Duration::ZERO)]);
    let (summary, result) = rig.at(THRESHOLD + 1_200).try_run().await;
    assert_eq!(result.expect_err("the store is throttled").to_string(), "too many requests");
    assert!((1_000..1_150).contains(&summary.silent) && !summary.is_complete, "{summary:?}");
    assert!(summary.request_units > 1_000.0, "{summary:?}");
    rig.run().await;
    for id in ["0000", "1100", "1199"] {
        assert!(rig.mark(id).await.is_some(), "{id}");
    }
    rig.store.is_out.store(true, SeqCst);
    let (summary, result) = rig.try_run().await;
    assert_eq!((summary.examined, result.is_err()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_limits_the_load_is_given_the_time_it_asks_for() {
    let rig = Rig::new();
    for number in 0..40 {
        rig.store.put(&format!("{number:04}"), number).await;
    }
    for id in ["0003", "0017"] {
        rig.store.scripted.respond(
            Write,
            id,
            [StoreResponse::throttled(span(700)), StoreResponse::throttled(span(700))],
        );
    }
    assert_eq!(rig.at(THRESHOLD + 40).run().await.len(), 40, "each once");
    // It asks for more time than the run has.
    let rig = Rig::new();
    rig.store.put("a", 0).await;
    rig.store.scripted.respond(Write, "a", [StoreResponse::throttled(Duration::from_secs(11))]);
    let (summary, result) = rig.at(THRESHOLD).try_run().await;
    assert_eq!((summary.silent, result.is_err()), (1, true));
    assert_eq!(rig.run().await, ["silent a", "silent a"], "at least once");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_ends_the_run_within_its_budget() {
    let rig = Rig::new();
    rig.store.put("a", 0).await;
    rig.store.is_hanging.store(true, SeqCst);
    let (summary, result) = rig.at(THRESHOLD).try_run().await;
    assert_eq!(result.expect_err("no answer").to_string(), "the store did not answer within 20 s");
    assert_eq!((summary.examined, summary.is_complete), (0, false));
    rig.store.is_hanging.store(false, SeqCst);
    // The record comes first: a run that ends before the mark is repeated.
    rig.store.scripted.respond(Write, "a", [StoreResponse::Stall]);
    assert!(rig.try_run().await.1.is_err());
    assert_eq!((rig.mark("a").await, rig.take_records()), (None, vec!["silent a".to_owned()]));
    assert_eq!(rig.run().await, ["silent a"]);
    assert_eq!(rig.mark("a").await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_examined_in_several_runs_with_few_writes_at_a_time() {
    let rig = Rig::new();
    for number in 0..1_000 {
        rig.store.put(&format!("{number:04}"), number).await;
    }
    rig.store.scripted.always(Write, ANY, StoreResponse::Slow(Duration::from_millis(120)));
    let (mut silent, mut runs) = (0, 0);
    rig.at(THRESHOLD + 1_000);
    loop {
        let (summary, result) = rig.try_run().await;
        result.expect("it is only slow");
        (silent, runs) = (silent + summary.silent, runs + 1);
        if summary.is_complete {
            break;
        }
    }
    assert_eq!((silent, runs, rig.store.scripted.max_in_flight()), (1_000, 3, 4));
    assert_eq!(rig.take_records().len(), 3 * 100, "at most 100 in a run");
}

#[tokio::test(start_paused = true)]
async fn more_documents_of_one_minute_than_a_run_can_read_do_not_hold_the_watch() {
    let rig = Rig::new();
    // Imported by another program within nine seconds.
    for number in 0..9_000 {
        let foreign = json!({"id": format!("{number:04}"), "x": 1});
        rig.store.put_document(&serde_json::from_value(foreign).expect("a document"), number).await;
    }
    rig.store.put("a", 9_000).await;
    rig.store.page_ms.store(2_000, SeqCst);
    let mut complete = Vec::new();
    for minute in 1..=8 {
        complete.push(rig.at(9_000 + THRESHOLD + minute * 60_000).try_run().await.0.is_complete);
    }
    assert_eq!(rig.take_records(), ["silent a"]);
    // Four pages a run; all documents twice, in case that one of an earlier time was written meanwhile.
    assert_eq!(complete, [false, false, false, true, false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_the_store_rejects_does_not_keep_the_watch_from_the_others() {
    for response in [StoreResponse::rejected(), StoreResponse::bad_request()] {
        let rig = Rig::new();
        for id in ["a", "b"] {
            rig.store.put(id, 0).await;
        }
        rig.store.scripted.always(Write, "a", response);
        let (summary, result) = rig.at(THRESHOLD).try_run().await;
        result.expect("other documents are accepted");
        assert_eq!((summary.silent, summary.rejected, rig.mark("b").await), (2, 1, Some(0)));
    }
    let rig = Rig::new();
    rig.store.put("a", 0).await;
    rig.store.scripted.always(Write, "a", StoreResponse::refused());
    assert!(rig.at(THRESHOLD).try_run().await.1.is_err(), "a missing role concerns all documents");
}
