//! A fake handler, which records its requests and replies as the test defines.

use std::{
    io::{self, BufRead, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use serde_json::json;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The sizes of the body's chunks; empty for a request with Content-Length.
    pub(crate) chunks: Vec<usize>,
    /// Whether the same body was received before.
    pub(crate) is_repeat: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A reply: bytes, or the end of the connection.
pub(crate) enum FakeReply {
    Bytes(String),
    Close,
}

impl FakeReply {
    pub(crate) fn with(status: u16, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(format!(
            "HTTP/1.1 {status} Some\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// The reply of a handler that keeps state: all events are applied, or all superseded if the batch is repeated.
    pub(crate) fn stateful(request: &Request, events: usize) -> Self {
        Self::with(200, &stateful_body(request, events))
    }

    /// Like [`FakeReply::stateful`], in two chunks.
    pub(crate) fn stateful_in_chunks(request: &Request, events: usize) -> Self {
        let body = stateful_body(request, events);
        let (begin, end) = body.split_at(body.len() / 2);
        Self::Bytes(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{begin}\r\n{:x}\r\n{end}\r\n0\r\n\r\n",
            begin.len(),
            end.len()
        ))
    }
}

/// Returns the body of a reply with a batch record that has these counts.
pub(crate) fn record(applied: usize, superseded: usize, dead_lettered: usize) -> String {
    let events = applied + superseded + dead_lettered;
    // The handler writes them in this order.
    let counts = format!(r#""applied":{applied},"superseded":{superseded},"deadLettered":{dead_lettered}"#);
    let line = format!(r#"{{"record":"batch","events":{events},{counts}}}"#);
    json!({ "Outputs": {}, "Logs": ["a line of another kind", line], "ReturnValue": null }).to_string()
}

pub(crate) fn stateful_body(request: &Request, events: usize) -> String {
    if request.is_repeat { record(0, events, 0) } else { record(events, 0, 0) }
}

/// A running fake handler. It stops when this is dropped.
pub(crate) struct FakeHandler {
    pub(crate) port: u16,
    received: Arc<Mutex<Vec<Request>>>,
    is_stopped: Arc<AtomicBool>,
}

impl FakeHandler {
    pub(crate) fn start(reply: impl Fn(&Request) -> FakeReply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let handler = Self { port, received: Arc::default(), is_stopped: Arc::default() };
        let (received, is_stopped, reply) = (handler.received.clone(), handler.is_stopped.clone(), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_stopped.load(SeqCst) {
                    return;
                }
                let (received, reply) = (received.clone(), reply.clone());
                // An error ends the connection, which the driver reports.
                thread::spawn(move || serve(&stream.expect("a connection"), &received, &*reply));
            }
        });
        handler
    }

    /// Starts a handler that replies to each batch like one that keeps state, and 404 to everything else.
    pub(crate) fn stateful(events: usize) -> Self {
        Self::start(move |request| match &*request.target {
            "GET /state" => FakeReply::with(404, ""),
            _ => FakeReply::stateful(request, events),
        })
    }

    /// Starts a handler that replies to each batch with these counts, and 404 to everything else.
    pub(crate) fn with_counts(applied: usize, superseded: usize, dead_lettered: usize) -> Self {
        Self::start(move |request| match &*request.target {
            "GET /state" => FakeReply::with(404, ""),
            _ => FakeReply::with(200, &record(applied, superseded, dead_lettered)),
        })
    }

    /// Returns the received batches, in order for each connection, without the repeated ones.
    pub(crate) fn batches(&self) -> Vec<Request> {
        let received = self.received.lock().expect("the lock is not poisoned").clone();
        received.into_iter().filter(|request| request.target.starts_with("POST") && !request.is_repeat).collect()
    }

    /// Returns the repeated batches.
    pub(crate) fn repeats(&self) -> Vec<Request> {
        let received = self.received.lock().expect("the lock is not poisoned").clone();
        received.into_iter().filter(|request| request.is_repeat).collect()
    }
}

impl Drop for FakeHandler {
    fn drop(&mut self) {
        self.is_stopped.store(true, SeqCst);
        // Wakes the listener. This fails only if it has already ended.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Delays a reply. Not for waiting on a condition.
#[expect(clippy::disallowed_methods, reason = "the driver is another process, in real time")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

fn serve(stream: &TcpStream, received: &Mutex<Vec<Request>>, reply: &impl Fn(&Request) -> FakeReply) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read(&mut reader)? {
        {
            let mut received = received.lock().expect("the lock is not poisoned");
            let is_the_same = |other: &Request| !other.body.is_empty() && other.body == request.body;
            request.is_repeat = received.iter().any(is_the_same);
            received.push(request.clone());
        }
        match reply(&request) {
            FakeReply::Bytes(bytes) => (&mut &*stream).write_all(bytes.as_bytes())?,
            FakeReply::Close => return Ok(()),
        }
    }
    Ok(())
}

/// Reads the next request; `None` at the end of the connection.
pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let first = line(reader)?;
    let Some((target, _)) = first.rsplit_once(' ') else { return Ok(None) };
    let mut request = Request {
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        chunks: Vec::new(),
        is_repeat: false,
    };
    loop {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(": ") else { break };
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    if let Some(length) = request.header("Content-Length") {
        request.body = vec![0; length.parse().expect("a length")];
        reader.read_exact(&mut request.body)?;
    } else if request.header("Transfer-Encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(reader)?, 16).expect("the size of a chunk");
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk)?;
            assert_eq!(line(reader)?, "", "a chunk has the announced size");
            if size == 0 {
                break;
            }
            request.chunks.push(size);
            request.body.append(&mut chunk);
        }
    }
    Ok(Some(request))
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
