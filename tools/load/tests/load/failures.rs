//! The driver's errors and exit codes.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crate::{
    driver::{run_failing, run_with},
    fake_handler::{FakeHandler, FakeReply, Request, pause, record},
};

/// 2 batches of 10 events on one connection.
const SMALL: [&str; 6] = ["--events", "10", "--connections", "1", "--batches", "2"];

#[test]
fn a_handler_that_counts_too_few_events_is_detected() {
    let handler = FakeHandler::with_counts(9, 0, 0);
    let stderr = run_failing(handler.port, &SMALL, 1);
    assert!(stderr.contains("20 events were sent, but the records in the replies' Logs counted 18"), "{stderr}");
}

#[test]
fn a_handler_without_counts_is_detected() {
    let handler = FakeHandler::start(|_| FakeReply::with(200, "{}"));
    let stderr = run_failing(handler.port, &SMALL, 1);
    assert!(stderr.contains("20 events were sent") && stderr.contains("counted 0"), "{stderr}");
}

#[test]
fn a_handler_that_counts_everything_as_applied_is_detected_by_the_repeated_batch() {
    static APPLIED: AtomicUsize = AtomicUsize::new(0);
    let at_state = FakeHandler::start(|request| {
        if request.target == "GET /state" {
            let applied = APPLIED.load(SeqCst);
            return FakeReply::with(200, &format!(r#"{{"applied":{applied},"superseded":0,"deadLettered":0}}"#));
        }
        APPLIED.fetch_add(10, SeqCst);
        FakeReply::with(200, "{}")
    });
    for (handler, from) in [(FakeHandler::with_counts(10, 0, 0), "the records"), (at_state, "GET /state")] {
        let stderr = run_failing(handler.port, &SMALL, 1);
        assert!(stderr.contains("last batch was sent again (10 events") && stderr.contains(from), "{stderr}");
        assert!(stderr.contains("counted 10 as applied, 0 as superseded, and 0 as dead-lettered"), "{stderr}");
        let (batches, repeats) = (handler.batches(), handler.repeats());
        let [_, last] = &batches[..] else { panic!("{batches:?}") };
        let [repeat] = &repeats[..] else { panic!("{repeats:?}") };
        assert_eq!(last.body, repeat.body);
        let invocation = |request: &Request| request.header("X-Azure-Functions-InvocationId").map(str::to_owned);
        assert_ne!(invocation(last), invocation(repeat), "it is a new invocation");
    }
}

#[test]
fn a_repeated_batch_that_is_rejected_ends_the_run() {
    let handler = FakeHandler::start(|request| match &*request.target {
        "GET /state" => FakeReply::with(404, ""),
        _ if request.is_repeat => FakeReply::with(503, "not again"),
        _ => FakeReply::with(200, &record(10, 0, 0)),
    });
    let stderr = run_failing(handler.port, &SMALL, 1);
    assert!(stderr.contains("partition 0, repeated last batch: the handler responded 503: not again"), "{stderr}");
}

#[test]
fn a_superseded_or_dead_lettered_event_is_a_failure() {
    for (handler, expected) in [
        (FakeHandler::with_counts(9, 1, 0), "2 as superseded, 0 as dead-lettered, and 18 as applied"),
        (FakeHandler::with_counts(8, 0, 2), "0 as superseded, 4 as dead-lettered, and 16 as applied"),
    ] {
        let stderr = run_failing(handler.port, &SMALL, 1);
        assert!(stderr.contains(expected) && !stderr.contains("were sent"), "{stderr}");
    }
}

#[test]
fn a_reply_other_than_200_ends_the_run_with_its_body() {
    let long = "the store is down ".repeat(100);
    let handler = FakeHandler::start(move |_| FakeReply::with(503, &long));
    let stderr = run_failing(handler.port, &SMALL, 1);
    assert!(stderr.contains("partition 0, request 1: the handler responded 503: the store is down"), "{stderr}");
    assert!(stderr.len() < 500, "{stderr}");
}

#[test]
fn a_request_that_is_rejected_before_it_is_read_completely_is_reported_with_its_reply() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let server = thread::spawn(move || {
        // The first request is GET /state.
        for stream in listener.incoming().take(2) {
            let mut stream = stream.expect("a connection");
            stream.read_exact(&mut [0; 20]).expect("the beginning of a request");
            let rejection = b"HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\n\r\ntoo long";
            stream.write_all(rejection).expect("a reply");
        }
    });
    let large = ["--events", "10", "--connections", "1", "--batches", "2", "--body-bytes", "1000000"];
    let stderr = run_failing(port, &large, 1);
    assert!(stderr.contains("the handler responded 413: too long"), "{stderr}");
    server.join().expect("the server replies to both");
}

#[test]
fn a_connection_that_ends_without_a_reply_is_a_failure() {
    let handler = FakeHandler::start(|_| FakeReply::Close);
    let stderr = run_failing(handler.port, &SMALL, 1);
    assert!(stderr.contains("request 1: no reply: the handler closed the connection"), "{stderr}");
}

#[test]
fn an_empty_success_is_a_failure() {
    let handler = FakeHandler::start(|_| FakeReply::with(200, ""));
    let stderr = run_failing(handler.port, &SMALL, 1);
    assert!(stderr.contains("200 without a body"), "{stderr}");
}

#[test]
fn a_reply_that_is_not_http_is_a_failure() {
    let handler = FakeHandler::start(|_| FakeReply::Bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()));
    let stderr = run_failing(handler.port, &SMALL, 1);
    assert!(stderr.contains("the reply cannot be read"), "{stderr}");
}

#[test]
fn a_measured_time_without_a_reply_is_a_failure() {
    let handler = FakeHandler::start(|_| {
        pause(Duration::from_millis(1_300));
        FakeReply::with(200, &record(10, 0, 0))
    });
    let stderr = run_failing(
        handler.port,
        &["--events", "10", "--connections", "1", "--warm", "0", "--seconds", "1", "--counts", "records"],
        1,
    );
    assert!(stderr.contains("no reply arrived in the measured time"), "{stderr}");
}

#[test]
fn a_run_that_cannot_start_exits_with_code_2() {
    // No process listens on this port.
    let stderr = run_failing(1, &SMALL, 2);
    assert!(stderr.contains("cannot connect to 127.0.0.1:1") && stderr.contains("--url"), "{stderr}");

    let handler = FakeHandler::with_counts(10, 0, 0);
    let stderr = run_failing(handler.port, &["--counts", "state"], 2);
    assert!(stderr.contains("GET /state: the handler responded 404"), "{stderr}");
    let stderr = run_failing(handler.port, &["--pid", "4194305"], 2);
    assert!(stderr.contains("process 4194305") && stderr.contains("--pid"), "{stderr}");
    assert_eq!(handler.batches().len(), 0, "nothing was sent");
}

#[test]
fn an_invalid_option_exits_with_code_2() {
    for wrong in [
        &["--events", "0"][..],
        &["--events", "10001"],
        &["--connections", "65"],
        &["--devices", "1000001"],
        &["--url", "https://127.0.0.1"],
        &["--url", "http://127.0.0.1/state"],
        &["--url", "somewhere"],
        &["--function", "a b"],
        &["--content-type", "a \"quoted\" one"],
        &["--batches", "2", "--seconds", "2"],
        &["--events", "10000", "--connections", "64", "--body-bytes", "1000000"],
        &["--no-such-option"],
    ] {
        let output = run_with(wrong);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.starts_with("error: "), "{wrong:?}: {stderr}");
    }
}
