//! What the driver says when something is not as it should be, and how it ends.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crate::{
    driver::{complaint, run_with},
    fake::{Answer, Fake, Request, pause, record},
};

/// 2 batches of 10 events on one connection.
const SMALL: [&str; 6] = ["--events", "10", "--connections", "1", "--batches", "2"];

#[test]
fn a_handler_that_counts_too_few_is_found_out() {
    let fake = Fake::that_tells(9, 0, 0);
    let said = complaint(fake.port, &SMALL, 1);
    assert!(said.contains("20 events were sent, and the records in the replies' Logs counted 18"), "{said}");
}

#[test]
fn a_handler_that_tells_no_counts_at_all_is_found_out() {
    let fake = Fake::start(|_| Answer::with(200, "{}"));
    let said = complaint(fake.port, &SMALL, 1);
    assert!(said.contains("20 events were sent") && said.contains("counted 0"), "{said}");
}

#[test]
fn a_handler_that_says_applied_whatever_it_is_sent_is_found_out_by_what_comes_again() {
    static APPLIED: AtomicUsize = AtomicUsize::new(0);
    let at_state = Fake::start(|request| {
        if request.target == "GET /state" {
            let applied = APPLIED.load(SeqCst);
            return Answer::with(200, &format!(r#"{{"applied":{applied},"superseded":0,"deadLettered":0}}"#));
        }
        APPLIED.fetch_add(10, SeqCst);
        Answer::with(200, "{}")
    });
    for (fake, from) in [(Fake::that_tells(10, 0, 0), "the records"), (at_state, "GET /state")] {
        let said = complaint(fake.port, &SMALL, 1);
        assert!(said.contains("last batch was sent again, 10 events in all") && said.contains(from), "{said}");
        assert!(said.contains("counted 10 as applied, 0 as superseded, and 0 as dead-lettered"), "{said}");
        let (batches, repeats) = (fake.batches(), fake.repeats());
        let [_, last] = &batches[..] else { panic!("{batches:?}") };
        let [repeat] = &repeats[..] else { panic!("{repeats:?}") };
        assert_eq!(last.body, repeat.body);
        let invocation = |request: &Request| request.header("X-Azure-Functions-InvocationId").map(str::to_owned);
        assert_ne!(invocation(last), invocation(repeat), "the host calls anew");
    }
}

#[test]
fn a_batch_that_is_refused_when_it_comes_again_ends_the_run() {
    let fake = Fake::start(|request| match &*request.target {
        "GET /state" => Answer::with(404, ""),
        _ if request.is_repeat => Answer::with(503, "not again"),
        _ => Answer::with(200, &record(10, 0, 0)),
    });
    let said = complaint(fake.port, &SMALL, 1);
    assert!(said.contains("partition 0, its last batch again: the handler answered 503: not again"), "{said}");
}

#[test]
fn an_event_that_was_not_applied_is_a_failure_though_it_was_counted() {
    for (fake, expected) in [
        (Fake::that_tells(9, 1, 0), "2 as superseded, 0 as dead-lettered, and 18 as applied"),
        (Fake::that_tells(8, 0, 2), "0 as superseded, 4 as dead-lettered, and 16 as applied"),
    ] {
        let said = complaint(fake.port, &SMALL, 1);
        assert!(said.contains(expected) && !said.contains("were sent"), "{said}");
    }
}

#[test]
fn any_other_answer_than_200_ends_the_run_with_what_was_answered() {
    let long = "the store is out ".repeat(100);
    let fake = Fake::start(move |_| Answer::with(503, &long));
    let said = complaint(fake.port, &SMALL, 1);
    assert!(said.contains("partition 0, request 1: the handler answered 503: the store is out"), "{said}");
    assert!(said.len() < 500, "{said}");
}

#[test]
fn a_request_that_is_refused_before_it_is_read_to_its_end_is_told_by_its_answer() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let server = thread::spawn(move || {
        // The first asks for the counts.
        for stream in listener.incoming().take(2) {
            let mut stream = stream.expect("a connection");
            stream.read_exact(&mut [0; 20]).expect("the begin of a request");
            let refused = b"HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\n\r\ntoo long";
            stream.write_all(refused).expect("an answer");
        }
    });
    let large = ["--events", "10", "--connections", "1", "--batches", "2", "--body-bytes", "1000000"];
    let said = complaint(port, &large, 1);
    assert!(said.contains("the handler answered 413: too long"), "{said}");
    server.join().expect("it answers both");
}

#[test]
fn a_connection_that_ends_without_an_answer_is_a_failure() {
    let fake = Fake::start(|_| Answer::Close);
    let said = complaint(fake.port, &SMALL, 1);
    assert!(said.contains("request 1: no answer: the handler closed the connection"), "{said}");
}

#[test]
fn an_empty_success_is_a_failure_since_the_host_would_wait_for_ever() {
    let fake = Fake::start(|_| Answer::with(200, ""));
    let said = complaint(fake.port, &SMALL, 1);
    assert!(said.contains("200 without a body"), "{said}");
}

#[test]
fn what_is_no_http_is_a_failure() {
    let fake = Fake::start(|_| Answer::Bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()));
    let said = complaint(fake.port, &SMALL, 1);
    assert!(said.contains("the answer cannot be read"), "{said}");
}

#[test]
fn a_time_in_which_no_reply_came_is_no_measurement() {
    let fake = Fake::start(|_| {
        pause(Duration::from_millis(1_300));
        Answer::with(200, &record(10, 0, 0))
    });
    let said = complaint(
        fake.port,
        &["--events", "10", "--connections", "1", "--warm", "0", "--seconds", "1", "--counts", "records"],
        1,
    );
    assert!(said.contains("no reply came in the time that is counted"), "{said}");
}

#[test]
fn a_run_that_cannot_begin_ends_with_2() {
    // Nobody listens at this one.
    let said = complaint(1, &SMALL, 2);
    assert!(said.contains("no connection to 127.0.0.1:1") && said.contains("option --url"), "{said}");

    let fake = Fake::that_tells(10, 0, 0);
    let said = complaint(fake.port, &["--counts", "state"], 2);
    assert!(said.contains("GET /state: the handler answered 404"), "{said}");
    let said = complaint(fake.port, &["--pid", "4194305"], 2);
    assert!(said.contains("process 4194305") && said.contains("option --pid"), "{said}");
    assert_eq!(fake.batches().len(), 0, "nothing was sent");
}

#[test]
fn an_option_that_makes_no_sense_ends_with_2() {
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
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.starts_with("error: "), "{wrong:?}: {said}");
    }
}
