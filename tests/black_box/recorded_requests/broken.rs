//! Recorded requests that are cut off, divided or framed in another way: the handler answers with a status or closes the
//! connection, and applies no part of a request.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use devicestate_test_support::{
    Handler, Recording,
    http::{connect, read_response},
};

use super::{app, documents, functions, served};

/// Longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(5);

/// The distance of the places where a recording is cut, besides the ends of its lines and chunks. Not a divisor of a chunk.
const STRIDE: usize = 997;

fn connection(handler: &Handler) -> TcpStream {
    let connection = connect(handler.port).expect("a handler that listens");
    connection.set_read_timeout(Some(LIMIT)).expect("a time limit");
    connection
}

/// Sends these bytes and no more. Returns what the handler answers before it closes the connection.
fn answer(handler: &Handler, bytes: &[u8]) -> Vec<u8> {
    let mut connection = connection(handler);
    let mut answer = Vec::new();
    // Each fails if the handler has closed the connection before.
    let sent = connection.write_all(bytes).and_then(|()| connection.shutdown(Shutdown::Write));
    let read = sent.and_then(|()| connection.read_to_end(&mut answer));
    let error = read.err().map(|error| error.kind());
    assert!(
        matches!(error, None | Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected)),
        "no answer and no end of the connection: {error:?} after {}",
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(100)..])
    );
    answer
}

/// Returns the status in an answer; `None` if it is empty.
fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    let status = text.strip_prefix("HTTP/1.1 ").map(|rest| rest[..3].parse().expect("a status"));
    assert!(status.is_some() || answer.is_empty(), "neither a status nor nothing: {text}");
    status
}

/// Returns the lengths at which a recording is cut: around each end of a line of the head and of a chunk, and in between.
fn cuts(recording: &Recording) -> Vec<usize> {
    let head = recording.chunks[0].start;
    let lines = (0..head).filter(|at| recording.bytes[*at] == b'\n');
    let borders = recording.chunks.iter().flat_map(|chunk| [chunk.start, chunk.end]);
    let around = lines.chain(borders).chain([recording.bytes.len()]).flat_map(|at| at.saturating_sub(2)..=at + 2);
    let mut cuts: Vec<_> = around.chain((0..recording.bytes.len()).step_by(STRIDE)).collect();
    cuts.retain(|cut| *cut < recording.bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Returns the recording's head without the line at its end, and its body in one piece.
fn parts(recording: &Recording) -> (&[u8], Vec<u8>) {
    let head = recording.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the end of the head");
    (&recording.bytes[..head + 2], recording.body())
}

/// Returns the recording with its body in chunks of this size, these lines in the head, and these after the last chunk.
fn framed(recording: &Recording, size: usize, head_lines: &str, trailers: &str) -> Vec<u8> {
    let (head, body) = parts(recording);
    let mut bytes = [head, head_lines.as_bytes(), b"\r\n"].concat();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    bytes
}

#[test]
fn a_request_that_is_cut_at_any_place_is_answered_or_closed_and_changes_nothing() {
    let served = served();
    let app = app(functions(&served));
    let mut handler = app.start();
    let all: Vec<_> =
        served.iter().flat_map(|recording| cuts(recording).into_iter().map(move |cut| (recording, cut))).collect();
    assert!(all.len() > 3_000, "{}", all.len());
    let running = &handler;
    thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(move || {
                for (recording, cut) in part {
                    let status = status(&answer(running, &recording.bytes[..*cut]));
                    assert!(status != Some(200), "{} is complete after {cut} bytes", recording.name);
                }
            });
        }
    });
    assert!(handler.is_alive());
    assert_eq!(documents(&app).len(), 0, "no part of a request is applied");
    assert!(!handler.stop().contains("panicked"));
}

#[test]
fn two_requests_in_one_segment_have_two_answers() {
    let served = served();
    let app = app(functions(&served));
    let handler = app.start();
    for recording in &served {
        let mut connection = connection(&handler);
        connection.write_all(&[&*recording.bytes, &*recording.bytes].concat()).expect("an open connection");
        let mut answers = BufReader::new(connection);
        let first = read_response(&mut answers).expect("an answer").status;
        if first == 404 {
            // The rest of the connection may be unread.
            continue;
        }
        let second = read_response(&mut answers).expect("another answer").status;
        assert_eq!((first, second), (200, 200), "{}", recording.name);
    }
}

#[test]
fn a_request_has_the_same_status_in_any_framing() {
    let served = served();
    let app = app(functions(&served));
    let handler = app.start();
    for recording in &served {
        let expected = recording.send(handler.port).status;
        for (what, bytes) in [
            ("chunks of one byte", framed(recording, 1, "", "")),
            ("one chunk", framed(recording, usize::MAX, "", "")),
            ("trailers", framed(recording, 1_024, "Trailer: X-Sum\r\n", "X-Sum: 1\r\nX-Other: 2\r\n")),
            ("a body that does not wait to be allowed", framed(recording, 1_024, "Expect: 100-continue\r\n", "")),
        ] {
            let mut connection = connection(&handler);
            connection.write_all(&bytes).expect("an open connection");
            let mut answers = BufReader::new(connection);
            let response = read_response(&mut answers);
            let mut response = response.unwrap_or_else(|error| panic!("{}: {what}: {error}", recording.name));
            if response.status == 100 {
                response = read_response(&mut answers).expect("a second answer");
            }
            assert_eq!(response.status, expected, "{}: {what}", recording.name);
        }
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_and_then_the_answer() {
    let served = served();
    let app = app(functions(&served));
    let handler = app.start();
    for recording in served.iter().filter(|recording| !recording.name.starts_with("http-")) {
        let (head, body) = parts(recording);
        let mut connection = connection(&handler);
        connection.write_all(&[head, b"Expect: 100-continue\r\n\r\n"].concat()).expect("an open connection");
        let mut answers = BufReader::new(connection.try_clone().expect("the same connection"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("an answer");
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n", "{}", recording.name);
        answers.read_line(&mut line).expect("an empty line");
        let frame = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        connection.write_all(&frame).expect("an open connection");
        assert_eq!(read_response(&mut answers).expect("an answer").status, 200, "{}", recording.name);
    }
}

#[test]
fn a_frame_that_is_no_chunk_is_refused_and_changes_nothing() {
    let served = served();
    let app = app(functions(&served));
    let mut handler = app.start();
    for recording in &served {
        let first = recording.chunks[0].start;
        let size = recording.bytes[..first - 2].iter().rposition(|byte| *byte == b'\n').expect("a line") + 1;
        for frame in ["", "zz", "-1", "fffffffffffffffff", "7fffffffffffffff", "1"] {
            let bytes = [&recording.bytes[..size], frame.as_bytes(), &recording.bytes[first - 2..]].concat();
            let status = status(&answer(&handler, &bytes));
            assert!(status != Some(200), "{}: {frame:?} {status:?}", recording.name);
        }
    }
    assert!(handler.is_alive());
    assert_eq!(documents(&app).len(), 0, "no part of a request is applied");
    assert!(!handler.stop().contains("panicked"));
}
