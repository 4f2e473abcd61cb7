//! Parses HTTP replies.

use std::{cmp::Ordering, ops::Range};

/// A complete reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The position of its body.
    pub(crate) body: Range<usize>,
}

/// Why a reply is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidReplyError {
    #[error("{0}")]
    Head(#[from] httparse::Error),
    #[error("the Content-Length {0:?} is not a number")]
    Length(String),
    #[error("a chunk is invalid")]
    Chunk,
    #[error("it has neither Content-Length nor Transfer-Encoding: chunked")]
    NoLength,
    #[error("bytes follow it")]
    BytesAfter,
}

impl Reply {
    /// Parses a reply; `None` if it is not complete yet. The chunks of a chunked body are joined in place.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid reply.
    pub(crate) fn read(bytes: &mut [u8]) -> Result<Option<Self>, InvalidReplyError> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(begin) = head.parse(bytes)? else { return Ok(None) };
        let status = head.code.expect("a head that is complete has a status");
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(found.value))
        };
        let (chunks, end) = if let Some(length) = header("Content-Length") {
            let length: usize = length.trim().parse().map_err(|_| InvalidReplyError::Length(length.into_owned()))?;
            (None, begin.saturating_add(length))
        } else if header("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            let Some(Chunks { chunks, end }) = chunks(bytes, begin)? else { return Ok(None) };
            (Some(chunks), end)
        } else if status == 204 {
            (None, begin)
        } else {
            return Err(InvalidReplyError::NoLength);
        };
        match end.cmp(&bytes.len()) {
            Ordering::Greater => return Ok(None),
            // Only one request is in flight, so nothing may follow its reply.
            Ordering::Less => return Err(InvalidReplyError::BytesAfter),
            Ordering::Equal => {}
        }
        let Some(chunks) = chunks else { return Ok(Some(Self { status, body: begin..end })) };
        let mut end = begin;
        for chunk in chunks {
            let length = chunk.len();
            bytes.copy_within(chunk, end);
            end += length;
        }
        Ok(Some(Self { status, body: begin..end }))
    }
}

/// The chunks of a body.
struct Chunks {
    chunks: Vec<Range<usize>>,
    end: usize,
}

/// Returns the chunks from `begin` on; `None` if the last one is not complete yet. Trailers are not supported.
fn chunks(bytes: &[u8], mut begin: usize) -> Result<Option<Chunks>, InvalidReplyError> {
    let mut chunks = Vec::new();
    loop {
        let Some(rest) = bytes.get(begin..) else { return Ok(None) };
        let size = httparse::parse_chunk_size(rest).map_err(|_| InvalidReplyError::Chunk)?;
        let httparse::Status::Complete((line, size)) = size else { return Ok(None) };
        let size = u32::try_from(size).map_err(|_| InvalidReplyError::Chunk)?;
        let chunk = begin + line..begin + line + size as usize;
        begin = chunk.end + 2;
        match bytes.get(chunk.end..begin) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(InvalidReplyError::Chunk),
        }
        if size == 0 {
            return Ok(Some(Chunks { chunks, end: begin }));
        }
        chunks.push(chunk);
    }
}
