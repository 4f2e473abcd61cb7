//! Sequence numbers that Cosmos DB would round: those of a partitioned Service Bus queue have the partition in their top bits.

use devicestate_test_support::Batch;
use serde_json::json;

use super::{battery, test_account::Account};

/// The numbers of a queue's partition 38. As a double, the first one is equal to the second.
const NUMBERS: [i64; 3] = [10_696_049_115_006_455, 10_696_049_115_006_456, 10_696_049_115_006_457];

#[test]
fn messages_within_one_second_are_applied_in_the_order_of_numbers_beyond_2_53() {
    let account = Account::empty();
    // Each batch reads the document again.
    let app = account.app().with("DocumentCacheMegabytes", "0");
    let handler = app.start();
    for (number, level) in NUMBERS.into_iter().zip([0.75, 0.5, 0.25]) {
        let mut request = Batch::of([battery(1, "drone-1", level)]).envelope();
        request["Metadata"]["SequenceNumberArray"] = json!([number]).to_string().into();
        handler.invoke(&request).assert_all_applied(1);
        let document = &account.documents()["drone-1"];
        assert_eq!(
            (&document["Battery"], &document["Versions"]["Battery"][1]),
            (&json!(level), &json!(number.to_string()))
        );
    }
}
