//! A minimal HTTP/1.1 client, like the host's for a custom handler: one request per connection.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Longer than any response may take, so that a test that hangs ends.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How the length of a request's body is sent.
#[derive(Debug, Clone, Copy)]
pub enum Framing {
    /// `Content-Length`, as Core Tools may do it.
    Length,
    /// `Transfer-Encoding: chunked`, as the host does it, in chunks of this many bytes.
    Chunked(usize),
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Returns a header's value; names are case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends one request to a port of this machine.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    framing: Framing,
) -> io::Result<Response> {
    let stream = connect(port)?;
    let mut connection = BufWriter::new(&stream);
    write!(connection, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n")?;
    for (name, value) in headers {
        write!(connection, "{name}: {value}\r\n")?;
    }
    match framing {
        Framing::Length => write!(connection, "Content-Length: {}\r\n\r\n", body.len())?,
        Framing::Chunked(_) => write!(connection, "Transfer-Encoding: chunked\r\n\r\n")?,
    }
    match framing {
        Framing::Length => connection.write_all(body)?,
        Framing::Chunked(size) => {
            for chunk in body.chunks(size) {
                write!(connection, "{:x}\r\n", chunk.len())?;
                connection.write_all(chunk)?;
                connection.write_all(b"\r\n")?;
            }
            connection.write_all(b"0\r\n\r\n")?;
        }
    }
    connection.flush()?;
    read_response(&mut BufReader::new(&stream))
}

/// Opens a connection to a port of this machine, with a time limit for a test that hangs.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads the response to one request of a connection.
pub fn read_response(connection: &mut impl BufRead) -> io::Result<Response> {
    let status_line = line(connection)?;
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let header = line(connection)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if status < 200 {
        return Ok(response);
    }
    if response.header("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = usize::from_str_radix(&line(connection)?, 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size];
            connection.read_exact(&mut chunk)?;
            line(connection)?;
            if size == 0 {
                break;
            }
            response.body.append(&mut chunk);
        }
    } else if let Some(length) = response.header("Content-Length") {
        response.body = vec![0; length.parse().map_err(io::Error::other)?];
        connection.read_exact(&mut response.body)?;
    } else {
        connection.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

fn line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
