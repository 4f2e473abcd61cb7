//! The requests that the tests of the engine build have the form of recorded ones.

use devicestate_test_doubles::{Envelope, Sent};
use devicestate_test_support::{form::assert_form, recording};

#[test]
fn an_envelope_has_the_form_of_a_recorded_one() {
    let first = Envelope::new([Sent::battery(1, "drone-1", 0.5), Sent::battery(2, "drone-1", 0.25)]);
    for (envelope, name) in [
        (first.clone().with_retry(None), "binary-many-json-without-retry"),
        (first.retried(1), "binary-many-json-attempt-2"),
        (first, "binary-many-json-attempt-1"),
    ] {
        let request = serde_json::from_slice(&envelope.to_bytes()).expect("JSON");
        assert_form(&request, &recording(name).envelope());
    }
}
