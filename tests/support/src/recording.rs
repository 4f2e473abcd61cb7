//! The recorded requests of a running Functions host: see `tests/fixtures/host/README.md`.

use std::{
    fs,
    io::{BufReader, Write as _},
    ops::Range,
};

use serde_json::Value;

use crate::http::{Response, connect, read_response};

/// A request, byte for byte as the host sent it.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The file's name without its extension.
    pub name: String,
    /// Request line, headers and body.
    pub bytes: Vec<u8>,
    /// The content of each chunk of the body.
    pub chunks: Vec<Range<usize>>,
}

/// Reads a recorded request by its file's name without the extension.
#[track_caller]
pub fn recording(name: &str) -> Recording {
    let path = super::root().join("tests/fixtures/host").join(format!("{name}.http"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let chunks = chunks(&bytes);
    Recording { name: name.to_owned(), bytes, chunks }
}

/// Reads all recorded requests, in the order of their names.
pub fn recordings() -> Vec<Recording> {
    let files = fs::read_dir(super::root().join("tests/fixtures/host")).expect("the folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".http").map(str::to_owned)).collect();
    names.sort();
    names.iter().map(|name| recording(name)).collect()
}

fn chunks(request: &[u8]) -> Vec<Range<usize>> {
    let end_of_line =
        |from: usize| from + request[from..].windows(2).position(|pair| pair == b"\r\n").expect("the end of a line");
    let head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the end of the head");
    let (mut chunks, mut at) = (Vec::new(), head + 4);
    loop {
        let end = end_of_line(at);
        let size = str::from_utf8(&request[at..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let (size, begin) = (size.expect("the size of a chunk"), end + 2);
        if size == 0 {
            assert_eq!(&request[begin..], b"\r\n", "nothing follows the last chunk");
            return chunks;
        }
        chunks.push(begin..begin + size);
        at = begin + size + 2;
    }
}

impl Recording {
    /// Returns the function's name: the path of the request.
    pub fn function(&self) -> &str {
        let line = self.bytes.split(|byte| *byte == b'\r').next().expect("a request line");
        let path = str::from_utf8(line).expect("text").split(' ').nth(1).expect("a path");
        path.strip_prefix('/').expect("an absolute path")
    }

    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = str::from_utf8(&self.bytes[..self.chunks[0].start]).expect("text");
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Sends the request to a port of this machine as it was recorded, and returns the response.
    #[track_caller]
    pub fn send(&self, port: u16) -> Response {
        let mut connection = connect(port).expect("a handler that listens");
        connection.write_all(&self.bytes).expect("an open connection");
        read_response(&mut BufReader::new(connection)).expect("an answer of the handler")
    }

    /// Returns the body without the frames of its chunks.
    pub fn body(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| &self.bytes[chunk.clone()]).copied().collect()
    }

    /// Parses the body.
    pub fn envelope(&self) -> Value {
        serde_json::from_slice(&self.body()).expect("the host sends JSON")
    }
}
