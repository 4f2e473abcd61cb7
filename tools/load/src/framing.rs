//! A request as HTTP bytes: created once, then updated in place.

use crate::{envelope::GUID_CHARS, options::Options};

/// The size of a body's chunks in bytes.
///
/// The host's chunks have 1024 UTF-16 units (`tests/fixtures/host`). All texts of the driver are ASCII, so these are bytes.
const CHUNK_BYTES: usize = 1024;

/// A request as HTTP bytes.
pub(crate) struct FramedRequest {
    pub(crate) bytes: Vec<u8>,
    /// The position of the invocation id.
    pub(crate) invocation_id: FieldPosition,
}

/// The position of a variable text in a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FieldPosition {
    at: u32,
    /// How many bytes fit until the chunk ends, at most 255; no text is longer.
    before_gap: u8,
    /// The number of bytes between the two chunks: the end of one and the size of the next.
    gap: u8,
}

impl FieldPosition {
    fn new(at: usize, before_gap: usize, gap: usize) -> Self {
        Self {
            at: u32::try_from(at).expect("the options limit a request to less than 4 GiB"),
            before_gap: u8::try_from(before_gap).unwrap_or(u8::MAX),
            gap: u8::try_from(gap).expect("the line between two chunks is short"),
        }
    }
}

impl FramedRequest {
    /// Frames a body. Also returns a function that maps a position in the body to one in the request.
    pub(crate) fn new(options: &Options, body: &[u8]) -> (Self, impl Fn(usize) -> FieldPosition + use<>) {
        let Options { function, url, .. } = options;
        let host = url.authority().expect("checked by the options");
        let head = format!(
            "POST /{function} HTTP/1.1\r\nHost: {host}\r\nX-Azure-Functions-HostVersion: 4.1037.0.0\r\n\
             X-Azure-Functions-InvocationId: "
        );
        let invocation_id = FieldPosition::new(head.len(), GUID_CHARS, 0);
        let framing = if options.content_length {
            format!("Content-Length: {}", body.len())
        } else {
            "Transfer-Encoding: chunked".to_owned()
        };
        let head = format!(
            "{head}{}\r\nUser-Agent: Azure-Functions-Host/4.1037.0.0\r\n{framing}\r\n\
             Content-Type: application/json; charset=utf-8\r\n\r\n",
            "0".repeat(GUID_CHARS)
        );
        let mut bytes = head.into_bytes();
        let size = if options.content_length { body.len() } else { CHUNK_BYTES };
        // The start of each chunk's bytes, and finally the end of the request.
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
        let position = move |at: usize| {
            let (chunk, at) = (at / size, at % size);
            let gap = if chunk + 2 < begins.len() { begins[chunk + 1] - begins[chunk] - size } else { 0 };
            FieldPosition::new(begins[chunk] + at, size - at, gap)
        };
        (Self { bytes, invocation_id }, position)
    }

    /// Overwrites the text at a position.
    pub(crate) fn put<const N: usize>(&mut self, position: FieldPosition, text: &[u8; N]) {
        const { assert!(N <= u8::MAX as usize) };
        let (at, before_gap) = (position.at as usize, usize::from(position.before_gap));
        if N <= before_gap {
            self.bytes[at..at + N].copy_from_slice(text);
            return;
        }
        let (before, after) = text.split_at(before_gap);
        let beyond = at + before_gap + usize::from(position.gap);
        self.bytes[at..at + before_gap].copy_from_slice(before);
        self.bytes[beyond..beyond + after.len()].copy_from_slice(after);
    }
}
