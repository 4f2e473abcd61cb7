//! A client of server-sent events.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use serde_json::Value;

use crate::http::connect;

/// An open stream of events whose data are JSON.
#[derive(Debug)]
pub struct EventStream(BufReader<TcpStream>);

impl EventStream {
    /// Opens the stream of a path of a server on this machine, or returns the status with which it refuses.
    pub fn open(port: u16, path: &str) -> Result<Self, u16> {
        let mut stream = connect(port).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").expect("the server reads");
        let mut events = Self(BufReader::new(stream));
        let status_line = events.line().expect("a status line");
        let status = status_line.split(' ').nth(1).expect("a status").parse().expect("a number");
        if status == 200 { Ok(events) } else { Err(status) }
    }

    /// Returns the data of the next event of this name, after skipping others; `None` at the end.
    pub fn next_of(&mut self, name: &str) -> Option<Value> {
        while self.line()? != format!("event: {name}") {}
        let line = self.line()?;
        let data = line.strip_prefix("data: ").expect("data follows the name");
        Some(serde_json::from_str(data).expect("JSON"))
    }

    /// Returns the data of the next event of this name. The stream must not end before.
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> Value {
        self.next_of(name).unwrap_or_else(|| panic!("the stream has ended before an event {name}"))
    }

    /// Returns the next line; `None` at the end. The lines between the chunks of HTTP are among them.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).expect("a line");
        (length > 0).then(|| line.trim_end().to_owned())
    }
}
