//! A request as it goes over the wire, made once and then written over in places.

use crate::{envelope::GUID, options::Options};

/// How many bytes of the body a chunk has.
///
/// The host writes the JSON through a `StreamWriter` straight into the request's stream. The buffer of that has 1024
/// characters, and each time that it is full becomes a chunk.
const CHUNK: usize = 1024;

/// A request.
pub(crate) struct Framed {
    pub(crate) bytes: Vec<u8>,
    /// Where the invocation's id stands.
    pub(crate) invocation_id: Place,
}

/// Where some text stands in a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    at: u32,
    /// How many bytes of it fit until the chunk ends; no text is longer than the most that this can say.
    before_gap: u8,
    /// How many bytes lie between them and the rest: the end of the chunk, and the size of the next.
    gap: u8,
}

impl Place {
    fn new(at: usize, before_gap: usize, gap: usize) -> Self {
        Self {
            at: u32::try_from(at).expect("a request is smaller than 4 GiB: the options see to that"),
            before_gap: u8::try_from(before_gap).unwrap_or(u8::MAX),
            gap: u8::try_from(gap).expect("the size of a chunk is short"),
        }
    }
}

impl Framed {
    /// Frames a body, and gives back besides where each of its bytes has gone.
    pub(crate) fn new(options: &Options, body: &[u8]) -> (Self, impl Fn(usize) -> Place + use<>) {
        let Options { function, url, .. } = options;
        let host = url.authority().expect("checked when it was read");
        let head = format!(
            "POST /{function} HTTP/1.1\r\nHost: {host}\r\nX-Azure-Functions-HostVersion: 4.1037.0.0\r\n\
             X-Azure-Functions-InvocationId: "
        );
        let invocation_id = Place::new(head.len(), GUID, 0);
        let framing = if options.content_length {
            format!("Content-Length: {}", body.len())
        } else {
            "Transfer-Encoding: chunked".to_owned()
        };
        let head = format!(
            "{head}{}\r\nUser-Agent: Azure-Functions-Host/4.1037.0.0\r\n{framing}\r\n\
             Content-Type: application/json; charset=utf-8\r\n\r\n",
            "0".repeat(GUID)
        );
        let mut bytes = head.into_bytes();
        let size = if options.content_length { body.len() } else { CHUNK };
        // Where each chunk's bytes begin, and at last the end of the request.
        let mut begins = Vec::new();
        for chunk in body.chunks(size) {
            if !options.content_length {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            }
            begins.push(bytes.len());
            bytes.extend_from_slice(chunk);
            if !options.content_length {
                bytes.extend_from_slice(b"\r\n");
            }
        }
        if !options.content_length {
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        begins.push(bytes.len());
        let place = move |at: usize| {
            let (chunk, at) = (at / size, at % size);
            let gap = if chunk + 2 < begins.len() { begins[chunk + 1] - begins[chunk] - size } else { 0 };
            Place::new(begins[chunk] + at, size - at, gap)
        };
        (Self { bytes, invocation_id }, place)
    }

    /// Writes over what stands there.
    pub(crate) fn put<const N: usize>(&mut self, place: Place, text: &[u8; N]) {
        const { assert!(N <= u8::MAX as usize) };
        let (at, before_gap) = (place.at as usize, usize::from(place.before_gap));
        if N <= before_gap {
            self.bytes[at..at + N].copy_from_slice(text);
            return;
        }
        let (before, after) = text.split_at(before_gap);
        let beyond = at + before_gap + usize::from(place.gap);
        self.bytes[at..at + before_gap].copy_from_slice(before);
        self.bytes[beyond..beyond + after.len()].copy_from_slice(after);
    }
}
