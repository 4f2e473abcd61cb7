//! Compares the driver's requests with recorded ones of a running host.

use devicestate_test_support::recording;

use crate::{
    fake_handler::{Request, read},
    requests::sent,
};

/// Returns a recorded request.
fn recorded(name: &str) -> Request {
    read(&mut &*recording(name).bytes).expect("a recording can be read").expect("a request")
}

/// The recordings' texts that are the driver's in its requests: namespace, hub, function (which is the consumer group, too).
const OWN_TEXTS: [(&str, &str); 4] = [
    ("\"localhost\"", "\"load.servicebus.windows.net\""),
    ("\"cap\"", "\"telemetry\""),
    ("\"ConsumerGroup\":\"binary-many\"", "\"ConsumerGroup\":\"$Default\""),
    ("\"binary-many\"", "\"RawTelemetryFunction\""),
];

/// Returns the body with `0` for each text that has a digit: bodies, keys of devices, numbers, times, ids.
fn masked(request: &Request) -> String {
    let text = OWN_TEXTS
        .iter()
        .fold(String::from_utf8(request.body.clone()).expect("UTF-8"), |text, (from, to)| text.replace(from, to));
    let is_delimiter = |c: char| r#"{}[]",:\"#.contains(c);
    let mask = |part: &str| {
        let text = part.strip_suffix(is_delimiter).unwrap_or(part);
        let has_digit = text.contains(|c: char| c.is_ascii_digit());
        if has_digit { format!("0{}", &part[text.len()..]) } else { part.to_owned() }
    };
    text.split_inclusive(is_delimiter).map(mask).collect()
}

#[test]
fn a_request_equals_a_recorded_one_but_for_its_values() {
    let with_content_type = ["--content-type", "application/json"];
    for (name, events, options) in
        [("binary-many-json-attempt-1", 2, &[][..]), ("binary-many-hundred-attempt-1", 100, &with_content_type)]
    {
        let options = [&["--connections", "1", "--batches", "1"], options].concat();
        let (recorded, sent) = (recorded(name), sent(events, &options));
        let [sent] = &sent[..] else { panic!("one batch") };
        assert_eq!(masked(sent), masked(&recorded), "{name}");
        for request in [&recorded, sent] {
            let (last, full) = request.chunks.split_last().expect("chunks");
            assert!(full.iter().all(|size| *size == 1_024) && *last <= 1_024, "{name}: {:?}", request.chunks);
        }
    }
}

#[test]
fn the_headers_and_their_order_are_those_of_a_recording() {
    let headers = |request: &Request| {
        let own = ["Host", "X-Azure-Functions-InvocationId"];
        let headers = request.headers.iter().cloned();
        headers.map(|(name, value)| if own.contains(&&*name) { (name, "…".into()) } else { (name, value) }).collect()
    };
    let sent = sent(2, &["--connections", "1", "--batches", "1"]);
    let [sent, recorded]: [Vec<(String, String)>; 2] =
        [headers(&sent[0]), headers(&recorded("binary-many-json-attempt-1"))];
    assert_eq!(sent, recorded);
}
