//! A request as the host's bytes: its headers in their order and letter case, its body in small chunks.

use std::net::SocketAddr;

/// The version of the recorded host.
const HOST_VERSION: &str = "4.1037.0.0";

/// The size of a chunk in UTF-16 units: the host writes the JSON through a `StreamWriter`, whose buffer has so many, and each
/// full buffer becomes a chunk.
const CHUNK_UNITS: usize = 1_024;

/// Returns the bytes of a POST with this body, or of a GET.
pub(super) fn frame(address: SocketAddr, path: &str, invocation_id: &str, body: Option<&str>) -> Vec<u8> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nX-Azure-Functions-HostVersion: {HOST_VERSION}\r\n\
         X-Azure-Functions-InvocationId: {invocation_id}\r\nUser-Agent: Azure-Functions-Host/{HOST_VERSION}\r\n"
    );
    let mut bytes = head.into_bytes();
    match body {
        Some(body) => {
            bytes.reserve(body.len() + body.len() / 64 + 128);
            bytes.extend(b"Transfer-Encoding: chunked\r\nContent-Type: application/json; charset=utf-8\r\n\r\n");
            push_chunks(&mut bytes, body);
        }
        None => bytes.extend(b"\r\n"),
    }
    bytes
}

fn push_chunks(bytes: &mut Vec<u8>, body: &str) {
    let mut push = |chunk: &str| {
        bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend(chunk.as_bytes());
        bytes.extend(b"\r\n");
    };
    let mut rest = body;
    // The number of units of the previous chunk's end that this one has in addition.
    let mut carried = 0;
    while !rest.is_empty() {
        let (end, carry) = chunk_end(rest, CHUNK_UNITS + carried);
        push(&rest[..end]);
        (rest, carried) = (&rest[end..], carry);
    }
    bytes.extend(b"0\r\n\r\n");
}

/// Returns the end of a chunk of this many UTF-16 units. If the end would divide a surrogate pair, the pair is in the next
/// chunk, because the encoder keeps the first half; then also returns 1, the number of units that the next one has more.
fn chunk_end(text: &str, units: usize) -> (usize, usize) {
    match text.as_bytes().get(..units) {
        Some(bytes) if bytes.is_ascii() => return (units, 0),
        None if text.is_ascii() => return (text.len(), 0),
        _ => {}
    }
    let mut count = 0;
    for (at, character) in text.char_indices() {
        if count == units {
            return (at, 0);
        }
        count += character.len_utf16();
        if count > units {
            return (at, 1);
        }
    }
    (text.len(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the UTF-16 units of each chunk, after a check that they are the body.
    fn chunks(body: &str) -> Vec<usize> {
        let mut framed = Vec::new();
        push_chunks(&mut framed, body);
        let framed = String::from_utf8(framed).expect("a chunk divides no character");
        let lines: Vec<_> = framed.split("\r\n").collect();
        let chunks: Vec<_> = lines.chunks(2).take_while(|pair| pair[0] != "0").collect();
        for pair in &chunks {
            assert_eq!(usize::from_str_radix(pair[0], 16), Ok(pair[1].len()));
        }
        assert_eq!(chunks.iter().map(|pair| pair[1]).collect::<String>(), body);
        chunks.iter().map(|pair| pair[1].encode_utf16().count()).collect()
    }

    #[test]
    fn chunks_have_1024_units_and_a_surrogate_pair_at_the_end_is_in_the_next_one() {
        assert_eq!(chunks(""), [0; 0]);
        assert_eq!(chunks(&"a".repeat(2_048)), [1_024, 1_024]);
        assert_eq!(chunks(&"ä€".repeat(600)), [1_024, 176]);
        assert_eq!(chunks(&"😀".repeat(1_000)), [1_024, 976]);
        assert_eq!(chunks(&format!("a{}", "😀".repeat(1_024))), [1_023, 1_024, 2]);
    }
}
