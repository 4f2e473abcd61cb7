//! Stands between a client and a storage service, to do what networks and services do on bad days.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use devicestate_test_support::{Framing, request};

/// What becomes of a request.
pub enum ProxyAction {
    /// It is answered.
    Answered,
    /// The service does it, and the answer is lost on the way.
    AnswerLost,
    /// The connection breaks before the service sees it.
    Cut,
    /// The service never sees it, and this is the answer: a status and the service's word for it.
    Refused(u16, &'static str),
}

/// The port of a proxy before this one. What becomes of a request is decided by its method and its path with the query.
///
/// Requests are decided one by one and answered side by side: a client that asks for many things at once gives up on what
/// it has waited too long for.
pub fn start(port: u16, fate: impl FnMut(&str) -> ProxyAction + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let fate = Arc::new(Mutex::new(fate));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let fate = Arc::clone(&fate);
            thread::spawn(move || {
                let decide = |what: &str| fate.lock().map_or(ProxyAction::Cut, |mut fate| fate(what));
                // An error is that of a client that has gone.
                let _ = stream.and_then(|stream| pass_on(&stream, port, decide));
            });
        }
    });
    address.port()
}

/// What of an answer's headers a client of blobs or queues looks at.
const HEADERS: [&str; 7] = [
    "content-type",
    "content-range",
    "etag",
    "last-modified",
    "x-ms-error-code",
    "x-ms-popreceipt",
    "x-ms-approximate-messages-count",
];

fn pass_on(mut stream: &TcpStream, port: u16, fate: impl Fn(&str) -> ProxyAction) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let [first, headers @ ..] = lines.as_slice() else { return Ok(()) };
    let what = first.strip_suffix(" HTTP/1.1").expect("a request");
    let (method, path) = what.split_once(' ').expect("a request");
    let headers: Vec<_> = headers.iter().filter_map(|header| header.split_once(": ")).collect();
    let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    let length = headers.iter().find(|(name, _)| is(name, "content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().expect("a length"))];
    reader.read_exact(&mut body)?;
    let own = ["host", "connection", "content-length"];
    let headers: Vec<_> = headers.into_iter().filter(|(name, _)| !own.iter().any(|own| is(name, own))).collect();
    let mut response = match fate(what) {
        ProxyAction::Refused(status, code) => {
            return write!(stream, "HTTP/1.1 {status} -\r\nx-ms-error-code: {code}\r\n{END}Content-Length: 0\r\n\r\n");
        }
        ProxyAction::Cut => return Ok(()),
        fate => {
            let response = request(port, method, path, &headers, &body, Framing::Length)?;
            match fate {
                ProxyAction::AnswerLost => return Ok(()),
                _ => response,
            }
        }
    };
    write!(stream, "HTTP/1.1 {} -\r\n", response.status)?;
    for name in HEADERS {
        if let Some(value) = response.header(name) {
            write!(stream, "{name}: {value}\r\n")?;
        }
    }
    write!(stream, "{END}Content-Length: {}\r\n\r\n", response.body.len())?;
    stream.write_all(&std::mem::take(&mut response.body))
}

/// One request for each connection is enough.
const END: &str = "Connection: close\r\n";
