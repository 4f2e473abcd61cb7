//! Every recording is compared with the stand-in, or listed here with the reason why not.

use std::{collections::BTreeSet, fs};

use crate::{events, messages, recording::path, timers};

/// What the name of a file contains, and why no request of the stand-in is compared with it.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("README.md", "it describes the recordings"),
    ("replies.json", "replies.rs compares it"),
    ("outcomes.json", "the handler's tests compare it: what becomes of each request"),
    ("-many-admin-", "the stand-in does not call the admin endpoint"),
    ("-one-admin-", "the stand-in does not call the admin endpoint"),
    ("timer-admin-2", "the stand-in does not call the admin endpoint with an input"),
    ("http-envelope-", "the stand-in host calls no HTTP trigger"),
    ("servicebus-binary-many-", "a Service Bus trigger must have cardinality one"),
    ("servicebus-string-many-", "a Service Bus trigger must have cardinality one"),
    ("servicebus-unset-many-", "a Service Bus trigger must have cardinality one"),
    ("servicebus-binary-one-nosession-", "a Service Bus trigger must have sessions"),
    ("-one-full", "the stand-in's producers set no application properties, expiry or reply address"),
];

#[test]
fn every_recording_is_compared_or_has_a_reason_why_not() {
    let compared: BTreeSet<_> = [events::NAMES, messages::NAMES, timers::NAMES].concat().into_iter().collect();
    let mut count = 0;
    for entry in fs::read_dir(path("")).expect("the recordings") {
        let file = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let is_compared = file.strip_suffix(".http").is_some_and(|name| compared.contains(name));
        let reasons: Vec<_> = NOT_COMPARED.iter().filter(|(part, _)| file.contains(part)).collect();
        assert_eq!(is_compared, reasons.is_empty(), "{file}: {reasons:?}");
        count += usize::from(is_compared);
    }
    assert_eq!(count, compared.len());
}
