//! A handler of a test, which keeps what it is sent and answers as the test likes.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
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
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The sizes of the chunks that its body came in; none with a length that was told.
    pub(crate) chunks: Vec<usize>,
    /// Whether the same body has come before.
    pub(crate) is_repeat: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What to answer with: the bytes, or nothing but the end of the connection.
pub(crate) enum Answer {
    Bytes(String),
    Close,
}

impl Answer {
    pub(crate) fn with(status: u16, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(format!(
            "HTTP/1.1 {status} Some\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// To a batch of so many events, as who keeps state: all applied, and all superseded when they come again.
    pub(crate) fn keeping(request: &Request, events: usize) -> Self {
        Self::with(200, &kept(request, events))
    }

    /// The same in two chunks.
    pub(crate) fn keeping_in_chunks(request: &Request, events: usize) -> Self {
        let body = kept(request, events);
        let (begin, end) = body.split_at(body.len() / 2);
        Self::Bytes(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{begin}\r\n{:x}\r\n{end}\r\n0\r\n\r\n",
            begin.len(),
            end.len()
        ))
    }
}

/// The body of a reply with a record that has these counts.
pub(crate) fn record(applied: usize, superseded: usize, dead_lettered: usize) -> String {
    let events = applied + superseded + dead_lettered;
    // In the order in which the handler writes them.
    let counts = format!(r#""applied":{applied},"superseded":{superseded},"deadLettered":{dead_lettered}"#);
    let line = format!(r#"{{"record":"batch","events":{events},{counts}}}"#);
    json!({ "Outputs": {}, "Logs": ["a line of another kind", line], "ReturnValue": null }).to_string()
}

fn kept(request: &Request, events: usize) -> String {
    if request.is_repeat { record(0, events, 0) } else { record(events, 0, 0) }
}

/// A running handler. It listens no more when this is dropped.
pub(crate) struct Fake {
    pub(crate) port: u16,
    received: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let fake = Self { port, received: Arc::default(), is_over: Arc::default() };
        let (received, is_over, answer) = (fake.received.clone(), fake.is_over.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(SeqCst) {
                    return;
                }
                let (received, answer) = (received.clone(), answer.clone());
                // It ends with the connection: what goes wrong there, the driver tells.
                thread::spawn(move || serve(&stream.expect("a connection"), &received, &*answer));
            }
        });
        fake
    }

    /// Tells of every batch that it has so many events and that it keeps them, and answers 404 to everything else.
    pub(crate) fn that_keeps(events: usize) -> Self {
        Self::start(move |request| match &*request.target {
            "GET /state" => Answer::with(404, ""),
            _ => Answer::keeping(request, events),
        })
    }

    /// Answers every batch with these counts, and 404 to everything else.
    pub(crate) fn that_tells(applied: usize, superseded: usize, dead_lettered: usize) -> Self {
        Self::start(move |request| match &*request.target {
            "GET /state" => Answer::with(404, ""),
            _ => Answer::with(200, &record(applied, superseded, dead_lettered)),
        })
    }

    /// The batches that came, in order for each connection; those that came again have come once.
    pub(crate) fn batches(&self) -> Vec<Request> {
        let received = self.received.lock().expect("nobody panics with it").clone();
        received.into_iter().filter(|request| request.target.starts_with("POST") && !request.is_repeat).collect()
    }

    /// The batches that came again.
    pub(crate) fn repeats(&self) -> Vec<Request> {
        let received = self.received.lock().expect("nobody panics with it").clone();
        received.into_iter().filter(|request| request.is_repeat).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        // So that it looks. That fails only when nobody listens any more.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// How long an answer takes. Never a way to wait for something.
#[expect(clippy::disallowed_methods, reason = "the driver is another process, in real time")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

fn serve(stream: &TcpStream, received: &Mutex<Vec<Request>>, answer: &impl Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read(&mut reader)? {
        {
            let mut received = received.lock().expect("nobody panics with it");
            let is_the_same = |other: &Request| !other.body.is_empty() && other.body == request.body;
            request.is_repeat = received.iter().any(is_the_same);
            received.push(request.clone());
        }
        match answer(&request) {
            Answer::Bytes(bytes) => (&mut &*stream).write_all(bytes.as_bytes())?,
            Answer::Close => return Ok(()),
        }
    }
    Ok(())
}

/// The next request; `None` when the connection ends.
fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
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
            assert_eq!(line(reader)?, "", "a chunk is as long as it says");
            if size == 0 {
                break;
            }
            request.chunks.push(size);
            request.body.append(&mut chunk);
        }
    }
    Ok(Some(request))
}

fn line(reader: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
