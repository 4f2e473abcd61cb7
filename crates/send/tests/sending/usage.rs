//! Errors of usage, help and report.

use std::net::TcpListener;

use super::{RunOutput, command, hub::Hub, send};

fn run(arguments: &[&str]) -> RunOutput {
    RunOutput::new(command(arguments).output().expect("it runs"))
}

#[test]
fn an_unreachable_endpoint_exits_with_2_and_names_the_option() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
    let ran = send(free, &["--keys", "1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    let expected =
        format!("devicestate-send: --endpoint amqp://127.0.0.1:{free}: the hub telemetry cannot be reached: ");
    assert!(ran.err.starts_with(&expected) && ran.err.contains("refused"), "{}", ran.err);
}

#[test]
fn an_endpoint_that_does_not_answer_is_reported_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let ran = send(listener.local_addr().expect("an address").port(), &["--keys", "1", "--timeout", "0.5"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("the hub did not respond within 0.5 s (--timeout)"), "{}", ran.err);
}

#[test]
fn a_missing_destination_is_reported_with_all_options() {
    let ran = run(&["--keys", "1"]);
    assert_eq!(ran.code, Some(2));
    for option in ["--namespace", "--endpoint", "EventHubConnection"] {
        assert!(ran.err.contains(option), "{}", ran.err);
    }
}

#[test]
fn keys_and_devices_are_exclusive_and_one_is_required() {
    assert_eq!(run(&["--hub", "telemetry"]).code, Some(2));
    assert_eq!(run(&["--keys", "1", "--devices", "1"]).code, Some(2));
    assert_eq!(run(&["--keys", "1", "--encoding", "protobuf"]).code, Some(2));
}

#[test]
fn help_has_examples_and_the_exit_codes() {
    let ran = run(&["--help"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("Examples:") && ran.out.contains("Exit codes:"), "{}", ran.out);
}

#[test]
fn the_default_report_is_a_table() {
    let hub = Hub::new();
    let endpoint = format!("amqp://127.0.0.1:{}", hub.port);
    let ran = run(&["--keys", "2", "--events", "3", "--endpoint", &endpoint, "--hub", "telemetry"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines[0].trim_end(), "SENT");
    assert!(lines.iter().any(|line| line.starts_with("events ") && line.ends_with(" 6")), "{}", ran.out);
    let widths: Vec<_> = lines[1..].iter().map(|line| line.len()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "numbers line up: {}", ran.out);
}
