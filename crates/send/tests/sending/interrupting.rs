//! Ctrl-C, once and twice.

use std::{
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use super::{
    HubContent, RunOutput, command,
    hub::{BatchResponse, Hub},
};

/// Waits until the condition is true; fails the test after a timeout.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_mins(1), "not reached within a minute: {what}");
        #[expect(clippy::disallowed_methods, reason = "polls a condition, with a deadline")]
        thread::sleep(Duration::from_millis(10));
    }
}

fn start(hub: &Hub, arguments: &[&str]) -> Child {
    let endpoint = format!("amqp://127.0.0.1:{}", hub.port);
    let to = ["--endpoint", &endpoint, "--hub", "telemetry", "-o", "json"];
    command(&[&to, arguments].concat()).spawn().expect("it runs")
}

fn interrupt(child: &Child) {
    let status = Command::new("sh").args(["-c", "kill -INT $0", &child.id().to_string()]).status().expect("a shell");
    assert!(status.success());
}

#[test]
fn ctrl_c_stops_creating_events_and_sends_the_created_ones() {
    let hub = Hub::new();
    let child = start(&hub, &["--keys", "5", "--events", "1000000", "--rate", "1000/s"]);
    wait_until("a batch", || hub.deliveries() > 20);
    interrupt(&child);
    let ran = RunOutput::new(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.count("notSent")), (Some(130), 0), "{}", ran.err);
    assert_eq!(ran.report()["stoppedEarly"], true);
    assert!(ran.err.contains("No more events are created"), "{}", ran.err);
    let content = HubContent::of(&hub.accepted_batches());
    let events: usize = content.bodies.values().map(Vec::len).sum();
    assert_eq!(events as u64, ran.count("events"));
    let events = content.bodies["key-00004"].len() as u64;
    content.bodies.values().for_each(|bodies| assert!(bodies.len() as u64 - events <= 1, "keys take turns"));
}

#[test]
fn a_second_ctrl_c_stops_immediately_and_reports_unsent_events() {
    let hub = Hub::with_responder(|_, _| BatchResponse::NoResponse);
    let mut child = start(&hub, &["--keys", "1", "--events", "10", "--timeout", "600"]);
    wait_until("the batch", || hub.deliveries() == 1);
    interrupt(&child);
    // The message shows that the first signal was handled: before that, a second signal would merge with it.
    let mut message = [0; 64];
    std::io::Read::read_exact(child.stderr.as_mut().expect("it is piped"), &mut message)
        .expect("the message is printed");
    interrupt(&child);
    let ran = RunOutput::new(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.count("notSent")), (Some(130), 10), "{}", ran.err);
    assert!(ran.err.contains("stopped immediately"), "{}", ran.err);
}
