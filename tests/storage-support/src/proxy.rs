//! A proxy between a client and a storage service that injects failures of networks and services.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use devicestate_test_support::{Framing, request};

/// What the proxy does with a request.
pub enum ProxyAction {
    /// Forwards it and its response.
    Forward,
    /// Forwards it and drops the response.
    DropResponse,
    /// Closes the connection without forwarding it.
    Disconnect,
    /// Responds with this status and error code without forwarding it.
    Respond(u16, &'static str),
}

/// Starts a proxy for the service at this port and returns the proxy's port. `decide` gets the method and the path with the
/// query.
///
/// Calls of `decide` are sequential, but requests are handled concurrently: a client with many requests would time out.
pub fn start(port: u16, decide: impl FnMut(&str) -> ProxyAction + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let decide = Arc::new(Mutex::new(decide));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let decide = Arc::clone(&decide);
            thread::spawn(move || {
                let decide = |what: &str| decide.lock().map_or(ProxyAction::Disconnect, |mut decide| decide(what));
                // An error means that the client has closed the connection.
                let _ = stream.and_then(|stream| forward(&stream, port, decide));
            });
        }
    });
    address.port()
}

/// The response headers that a client of blobs or queues reads.
const HEADERS: [&str; 7] = [
    "content-type",
    "content-range",
    "etag",
    "last-modified",
    "x-ms-error-code",
    "x-ms-popreceipt",
    "x-ms-approximate-messages-count",
];

fn forward(mut stream: &TcpStream, port: u16, decide: impl Fn(&str) -> ProxyAction) -> io::Result<()> {
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
    let mut response = match decide(what) {
        ProxyAction::Respond(status, code) => {
            return write!(
                stream,
                "HTTP/1.1 {status} -\r\nx-ms-error-code: {code}\r\n{CONNECTION_CLOSE}Content-Length: 0\r\n\r\n"
            );
        }
        ProxyAction::Disconnect => return Ok(()),
        action => {
            let response = request(port, method, path, &headers, &body, Framing::Length)?;
            match action {
                ProxyAction::DropResponse => return Ok(()),
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
    write!(stream, "{CONNECTION_CLOSE}Content-Length: {}\r\n\r\n", response.body.len())?;
    stream.write_all(&std::mem::take(&mut response.body))
}

/// Allows one request per connection.
const CONNECTION_CLOSE: &str = "Connection: close\r\n";
