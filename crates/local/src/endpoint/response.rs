//! Parses HTTP responses.

use std::ops::Range;

/// A complete response.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `Content-Type`, if it is text.
    pub content_type: Option<String>,
    /// `Location`, if it is text.
    pub location: Option<String>,
    /// Whether the connection can be used for another request.
    pub keeps_connection: bool,
    /// The position of its body.
    pub body: Range<usize>,
}

/// Why a response is invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidResponseError {
    /// The status line or a header.
    #[error("{0}")]
    Head(#[from] httparse::Error),
    /// The length is not a number.
    #[error("the Content-Length {0:?} is not a number")]
    Length(String),
    /// The size or the end of a chunk.
    #[error("a chunk is invalid")]
    Chunk,
}

impl Response {
    /// Parses a response; `None` if it is not complete. The chunks of a chunked body are joined in place. `at_end` means that
    /// no more bytes follow, which ends a response without a length.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid response.
    pub fn read(bytes: &mut [u8], at_end: bool) -> Result<Option<Self>, InvalidResponseError> {
        let mut begin = 0;
        let (status, headers) = loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(length) = head.parse(&bytes[begin..])? else { return Ok(None) };
            begin += length;
            let status = head.code.expect("a head that is complete has a status");
            // An interim response, such as 100 Continue, precedes the final one.
            if !(100..200).contains(&status) {
                break (status, Headers::from_head(head.headers));
            }
        };
        let Headers { content_type, location, content_length, is_chunked, mut keeps_connection } = headers;
        let (body, end) = if is_chunked {
            let Some(joined) = join_chunks(bytes, begin)? else { return Ok(None) };
            joined
        } else {
            let end = match content_length {
                _ if matches!(status, 204 | 304) => begin,
                Some(length) => begin.saturating_add(length.parse().map_err(|_| InvalidResponseError::Length(length))?),
                None if at_end => bytes.len(),
                None => return Ok(None),
            };
            (begin..end, end)
        };
        if end > bytes.len() {
            return Ok(None);
        }
        // Only one request is in flight: bytes after its response belong to none, and would be read as the next response.
        keeps_connection &= !at_end && end == bytes.len();
        Ok(Some(Self { status, content_type, location, keeps_connection, body }))
    }
}

/// The headers that matter here.
struct Headers {
    content_type: Option<String>,
    location: Option<String>,
    content_length: Option<String>,
    is_chunked: bool,
    keeps_connection: bool,
}

impl Headers {
    fn from_head(headers: &[httparse::Header<'_>]) -> Self {
        let text = |name: &str| {
            let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            str::from_utf8(found.value).ok().map(|value| value.trim().to_owned())
        };
        let is = |name: &str, value: &str| text(name).is_some_and(|text| text.eq_ignore_ascii_case(value));
        Self {
            content_type: text("Content-Type"),
            location: text("Location"),
            content_length: text("Content-Length"),
            is_chunked: is("Transfer-Encoding", "chunked"),
            keeps_connection: !is("Connection", "close"),
        }
    }
}

/// Joins the chunks from `begin` on in place, and returns the position of the body and the end of the response; `None` if the
/// last one or the trailers after it are not complete, and then changes nothing. Trailers are ignored.
fn join_chunks(bytes: &mut [u8], begin: usize) -> Result<Option<(Range<usize>, usize)>, InvalidResponseError> {
    let (mut chunks, mut at) = (Vec::new(), begin);
    loop {
        let Some(rest) = bytes.get(at..) else { return Ok(None) };
        let size = httparse::parse_chunk_size(rest).map_err(|_| InvalidResponseError::Chunk)?;
        let httparse::Status::Complete((line, size)) = size else { return Ok(None) };
        let size = u32::try_from(size).map_err(|_| InvalidResponseError::Chunk)?;
        if size == 0 {
            let mut trailers = [httparse::EMPTY_HEADER; 64];
            let trailers = httparse::parse_headers(&rest[line..], &mut trailers)?;
            let httparse::Status::Complete((length, _)) = trailers else { return Ok(None) };
            at += line + length;
            break;
        }
        let chunk = at + line..at + line + size as usize;
        at = chunk.end + 2;
        match bytes.get(chunk.end..at) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(InvalidResponseError::Chunk),
        }
        chunks.push(chunk);
    }
    let mut end = begin;
    for chunk in chunks {
        let length = chunk.len();
        bytes.copy_within(chunk, end);
        end += length;
    }
    Ok(Some((begin..end, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, at_end: bool) -> Option<(u16, String, bool)> {
        let mut bytes = text.as_bytes().to_vec();
        let response = Response::read(&mut bytes, at_end).expect("a valid response")?;
        let body = String::from_utf8(bytes[response.body].to_vec()).expect("text");
        Some((response.status, body, response.keeps_connection))
    }

    #[test]
    fn a_response_has_a_length_or_chunks_or_ends_with_the_connection() {
        let whole = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", (200, "{}")),
            (
                "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
                (503, "{\"a\":1}"),
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", (204, "")),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, "")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\na: b\r\n\r\n", (200, "{}")),
        ];
        for (text, (status, body)) in whole {
            assert_eq!(read(text, false), Some((status, body.to_owned(), true)), "{text}");
            for end in 0..text.len() {
                assert_eq!(read(&text[..end], false), None, "{text} until {end}");
            }
        }
        let without_length = "HTTP/1.1 200 OK\r\n\r\n{}";
        assert_eq!((read(without_length, false), read(without_length, true)), (None, Some((200, "{}".into(), false))));
        for more in ["Content-Length: 2\r\n\r\n{}\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nmore"] {
            assert_eq!(read(&format!("HTTP/1.1 200 OK\r\n{more}"), false), Some((200, "{}".into(), false)), "{more}");
        }
        let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(closing, false), Some((200, String::new(), false)));
    }

    #[test]
    fn an_invalid_response_is_an_error() {
        for text in [
            "HTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n",
        ] {
            assert!(Response::read(&mut text.as_bytes().to_vec(), false).is_err(), "{text}");
        }
    }
}
