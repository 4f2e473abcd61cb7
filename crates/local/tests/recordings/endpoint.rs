//! What the stand-in sends over a connection: the recorded bytes, for each recording.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use devicestate_local::endpoint::Endpoint;
use devicestate_test_support::recordings;

use crate::recording::Recording;

/// Accepts connections and answers each request on them; ends after this many requests, and returns them.
fn serve(listener: TcpListener, answers: Vec<&'static str>) -> thread::JoinHandle<Vec<Vec<u8>>> {
    thread::spawn(move || {
        let mut requests = Vec::new();
        let mut connection: Option<TcpStream> = None;
        for answer in answers {
            let stream = match &mut connection {
                Some(stream) => stream,
                None => connection.insert(listener.accept().expect("a connection").0),
            };
            requests.push(read_request(stream));
            stream.write_all(answer.as_bytes()).expect("an answer");
            if answer.contains("Connection: close") {
                connection = None;
            }
        }
        requests
    })
}

fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    let is_complete = |request: &[u8]| {
        request.ends_with(b"\r\n0\r\n\r\n") || (request.starts_with(b"GET ") && request.ends_with(b"\r\n\r\n"))
    };
    while !is_complete(&request) {
        let mut part = [0; 4_096];
        let count = stream.read(&mut part).expect("a request");
        assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&request));
        request.extend(&part[..count]);
    }
    request
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const CLOSING: &str = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

#[tokio::test]
async fn each_recorded_body_is_sent_as_the_recorded_bytes() {
    let recordings: Vec<_> = recordings().into_iter().map(Recording::from).collect();
    assert!(recordings.len() > 100, "{}", recordings.len());
    let (listener, port) = listen();
    // Each recording twice: the second request is on the connection of the first one.
    let answers = recordings.iter().flat_map(|_| [OK, CLOSING]).collect();
    let server = serve(listener, answers);
    for recording in &recordings {
        let endpoint = Endpoint::new(port, recording.function());
        for status in [200, 503] {
            let response = endpoint.post(recording.invocation_id(), recording.body.clone()).await;
            assert_eq!(response.expect("a response").status, status);
        }
    }
    for (recording, request) in
        recordings.iter().flat_map(|recording| [recording; 2]).zip(server.join().expect("the requests"))
    {
        let host = format!("Host: 127.0.0.1:{port}\r\n");
        let recorded = format!("Host: {}\r\n", recording.header("Host").expect("a host"));
        let at = request.windows(host.len()).position(|part| part == host.as_bytes()).expect("the host");
        let request = [&request[..at], recorded.as_bytes(), &request[at + host.len()..]].concat();
        assert!(request == recording.bytes, "{}: {}", recording.name, String::from_utf8_lossy(&request));
    }
}

#[tokio::test]
async fn a_closed_connection_is_replaced() {
    let (listener, port) = listen();
    let server = serve(listener, vec![OK, CLOSING, OK]);
    let endpoint = Endpoint::new(port, "F");
    for status in [200, 503, 200] {
        assert_eq!(endpoint.post("id", "{}".into()).await.expect("a response").status, status);
    }
    assert_eq!(server.join().expect("the requests").len(), 3);
    // The listener is closed, and so is the connection.
    let error = endpoint.post("id", "{}".into()).await.err().expect("no handler listens");
    assert!(error.starts_with("the handler did not answer: 127.0.0.1:") && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_request_whose_connection_was_closed_is_not_repeated() {
    let (listener, port) = listen();
    // The second request is read, and its connection closed without an answer.
    let server = serve(listener.try_clone().expect("a second handle"), vec![OK, ""]);
    let endpoint = Endpoint::new(port, "F");
    assert_eq!(endpoint.post("id", "{}".into()).await.expect("a response").status, 200);
    let second = tokio::time::timeout(Duration::from_secs(10), endpoint.post("id", "{}".into()));
    assert!(second.await.expect("no second attempt waits for an answer").is_err());
    assert_eq!(server.join().expect("the requests").len(), 2);
    listener.set_nonblocking(true).expect("an option");
    assert!(listener.accept().is_err(), "no other connection");
}

#[tokio::test]
async fn a_redirect_is_followed_as_a_get_unless_its_status_keeps_the_method() {
    const FOUND: &str = "HTTP/1.1 302 Found\r\nLocation: /other?x=1\r\nContent-Length: 4\r\n\r\nbody";
    const KEPT: &str = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n";
    const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n";
    for (answer, method, path) in [(FOUND, "GET", "/other?x=1"), (KEPT, "POST", "/other")] {
        let (listener, port) = listen();
        let server = serve(listener, vec![answer, OK]);
        let response = Endpoint::new(port, "F").post("id", "{}".into()).await.expect("a response");
        assert_eq!((response.status, &response.body[..]), (200, &b"{}"[..]));
        let requests = server.join().expect("the requests");
        let second = String::from_utf8_lossy(&requests[1]);
        assert!(second.starts_with(&format!("{method} {path} HTTP/1.1\r\n")), "{second}");
        assert_eq!(second.contains("chunked"), method == "POST", "{second}");
    }
    let (listener, port) = listen();
    let server = serve(listener, vec![ELSEWHERE]);
    assert_eq!(Endpoint::new(port, "F").post("id", "{}".into()).await.expect("a response").status, 302);
    server.join().expect("one request");
}
