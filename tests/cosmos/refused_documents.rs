//! Single documents that Cosmos DB refuses, in batches with others, and device ids that its gateway does not find again.

use devicestate_test_support::{
    Batch, Fold, Reply, fixture,
    listener::{Fault, Listener},
};
use serde_json::{Value, json};

use super::{app, battery, deliver};

/// The account's documents by id, without their versions.
fn battery_levels(listener: &Listener) -> Value {
    listener.documents().into_iter().map(|(id, document)| (id, document["Battery"].clone())).collect()
}

/// Two public cases: the gateway answers 401 to requests for an item whose id ends with a blank or contains `%` and two digits.
#[test]
fn devices_whose_ids_the_gateway_reads_differently_are_applied() {
    for (case, id) in [("cases/01-id-ends-with-blank", "drone-7~20"), ("cases/02-id-with-hash", "hall~234")] {
        let listener = Listener::start();
        let app = app(&listener).with("DocumentCacheMegabytes", "0");
        let handler = app.start();
        for (attempt, expected) in [[3, 3, 0, 0], [3, 0, 3, 0]].into_iter().enumerate() {
            let response = handler.post(&format!("case-{attempt}"), fixture(case).to_string().as_bytes());
            assert_eq!(Reply::from_response(&response).counts(), expected, "{case}");
        }
        assert_eq!(battery_levels(&listener), json!({"good-1": 0.5, "good-2": 0.5, id: 0.5}), "{case}");
    }
}

/// Returns a batch of three devices.
fn batch(first: i64) -> Batch {
    Batch::of([
        battery(first, "drone-1", 0.5),
        battery(first + 1, "refused", 0.25),
        battery(first + 2, "drone-3", 0.75),
    ])
}

#[test]
fn a_document_that_is_refused_for_good_is_dead_lettered_after_its_attempts_and_the_partition_goes_on() {
    for fault in [Fault::status(401), Fault::status(403).sub_status(5300), Fault::status(405)] {
        let listener = Listener::start();
        let app = app(&listener);
        let handler = app.start();
        listener.fault(fault.id("refused"));
        let delivered = deliver(&handler, &batch(1));
        assert_eq!((delivered.failed.len(), delivered.reply.counts()), (4, [3, 0, 2, 1]));
        let letter = delivered.reply.dead_letter();
        assert_eq!((&letter["DeviceId"], &letter["ErrorClass"]), (&json!("refused"), &json!("transient")));
        let issue = letter["Issue"].as_str().expect("an issue");
        assert!(
            issue.contains("if other documents are refused, too") && issue.contains("CosmosConnection")
                || issue.contains("Contributor"),
            "{issue}"
        );
        // It is remembered: the next batch does not wait for it.
        let delivered = deliver(&handler, &batch(11));
        assert_eq!((delivered.failed.len(), delivered.reply.counts()), (0, [3, 2, 0, 1]));
        listener.clear_faults();
        deliver(&handler, &batch(21)).reply.assert_all_applied(3);
        assert_eq!(listener.documents(), Fold::from_batches([&batch(21)]).documents());
    }
}

/// The batch has one device, and the process has written nothing: documents that the account lists are written again.
#[test]
fn a_document_that_is_refused_alone_is_compared_with_other_documents() {
    let listener = Listener::start();
    for id in ["drone-1", "drone-2"] {
        listener.put(&json!({"id": id, "Battery": 0.5, "Versions": {}}));
    }
    let before = listener.documents();
    let app = app(&listener);
    listener.fault(Fault::status(401).id("refused"));
    let delivered = deliver(&app.start(), &Batch::of([battery(1, "refused", 0.25)]));
    assert_eq!((delivered.failed.len(), delivered.reply.counts()), (4, [1, 0, 0, 1]));
    assert_eq!(listener.documents(), before);
}

/// The first writes are accepted, then the key is revoked for as many attempts as dead-letter a device.
#[test]
fn a_key_revoked_in_the_middle_of_an_attempt_dead_letters_nothing() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let revoked = listener.fault(Fault::status(401).on(&["read", "create", "replace"]).skip(3));
    for retry in 0..8 {
        let response = handler.post("revoked", batch(1).retry(retry, -1).envelope().to_string().as_bytes());
        assert_eq!(response.status, 503, "{}", response.json());
        assert!(response.json()["error"].to_string().contains("key"), "{}", response.json());
    }
    listener.end(revoked);
    deliver(&handler, &batch(1)).assert_no_dead_letter(3);
}

/// The account has an item that it does not find: with an identity, the gateway answers 404 instead of 401.
#[test]
fn an_item_that_exists_and_is_not_found_dead_letters_only_its_own_events() {
    let listener = Listener::start();
    let app = app(&listener);
    listener.put(&json!({"id": "refused", "Battery": 0.5, "Versions": {}}));
    listener.fault(Fault::status(404).on(&["read", "replace"]).id("refused"));
    let delivered = deliver(&app.start(), &batch(1));
    assert_eq!((delivered.failed.len(), delivered.reply.counts()), (0, [3, 2, 0, 1]));
    let letter = delivered.reply.dead_letter();
    assert_eq!((&letter["DeviceId"], &letter["ErrorClass"]), (&json!("refused"), &json!("poison")));
    assert!(letter["Issue"].to_string().contains("does not find it"), "{letter}");
}
