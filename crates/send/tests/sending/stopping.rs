//! Ctrl-C, once and twice.

use std::{
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use super::{
    Kept, Ran, command,
    hub::{Answer, Hub},
};

/// Waits until this holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_mins(1), "{what} did not come");
        #[expect(clippy::disallowed_methods, reason = "a look at a condition again, with a deadline")]
        thread::sleep(Duration::from_millis(10));
    }
}

fn start(hub: &Hub, arguments: &[&str]) -> Child {
    let endpoint = format!("amqp://127.0.0.1:{}", hub.port);
    let to = ["--endpoint", &endpoint, "--hub", "telemetry", "--format", "json"];
    command(&[&to, arguments].concat()).spawn().expect("it runs")
}

fn interrupt(child: &Child) {
    let status = Command::new("sh").args(["-c", "kill -INT $0", &child.id().to_string()]).status().expect("a shell");
    assert!(status.success());
}

#[test]
fn ctrl_c_ends_in_order_and_what_was_made_is_sent() {
    let hub = Hub::new();
    let child = start(&hub, &["--keys", "5", "--events", "1000000", "--rate", "1000/s"]);
    until("a batch", || hub.deliveries() > 20);
    interrupt(&child);
    let ran = Ran::new(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.count("notSent")), (Some(0), 0), "{}", ran.err);
    assert!(ran.out.contains(r#""stoppedEarly": true"#), "{}", ran.out);
    assert!(ran.err.contains("No more events are made"), "{}", ran.err);
    let kept = Kept::of(&hub.taken());
    let events: usize = kept.bodies.values().map(Vec::len).sum();
    assert_eq!(events as u64, ran.count("events"));
    let events = kept.bodies["key-00004"].len() as u64;
    kept.bodies.values().for_each(|bodies| assert!(bodies.len() as u64 - events <= 1, "keys take turns"));
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_says_what_is_not_known_to_be_sent() {
    let hub = Hub::that(|_, _| Answer::Silence);
    let mut child = start(&hub, &["--keys", "1", "--events", "10", "--timeout", "600"]);
    until("the batch", || hub.deliveries() == 1);
    interrupt(&child);
    // The first one is taken when it is told; a second one before that would be the same one.
    let mut told = [0; 64];
    std::io::Read::read_exact(child.stderr.as_mut().expect("it is piped"), &mut told).expect("it says so");
    interrupt(&child);
    let ran = Ran::new(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.count("notSent")), (Some(1), 10), "{}", ran.err);
    assert!(ran.err.contains("stopped at once"), "{}", ran.err);
}
