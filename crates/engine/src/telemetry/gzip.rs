//! Unpacks bodies that devices have compressed with gzip.

use std::{
    borrow::Cow,
    io::{self, Read as _},
};

use flate2::bufread::MultiGzDecoder;

use super::Poison;

/// The first bytes of gzip data.
const MAGIC: &[u8] = b"\x1f\x8b";

/// A body may unpack to this many times its size. Telemetry becomes five to twenty times smaller.
const MAX_RATIO: usize = 16;

/// A body may always unpack to this many bytes.
const MIN_LIMIT_BYTES: usize = 64 * 1024;

/// Returns the maximum number of bytes that decoding a body reads: those of the unpacked body.
pub(crate) fn max_unpacked_bytes(body: &[u8]) -> usize {
    if body.starts_with(MAGIC) { (body.len() * MAX_RATIO).max(MIN_LIMIT_BYTES) } else { body.len() }
}

/// Returns the unpacked body, or the body itself if it is not compressed.
///
/// # Errors
///
/// Returns a [`Poison`] if it is damaged, or larger than telemetry can be. Unpacking stops at the limit.
pub(super) fn unpacked(body: &[u8]) -> Result<Cow<'_, [u8]>, Poison> {
    if !body.starts_with(MAGIC) {
        return Ok(Cow::Borrowed(body));
    }
    let limit = max_unpacked_bytes(body);
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut unpacked);
    match read {
        Ok(bytes) if bytes > limit => Err(Poison::Undecodable(format!(
            "the gzip body of {} bytes unpacks to more than {limit} bytes, which is the limit for its size",
            body.len()
        ))),
        Ok(_) => Ok(Cow::Owned(unpacked)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Poison::Undecodable("the gzip body ends in the middle".into()))
        }
        Err(error) => Err(Poison::Undecodable(format!("the gzip body is damaged: {error}"))),
    }
}
