//! Bodies that devices have compressed: how they are recognized, and what they may unpack to.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use flate2::bufread::MultiGzDecoder;

use super::Poison;

/// A compression that the first bytes of a body show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Gzip.
    Gzip,
    /// Zlib, which HTTP calls `deflate`.
    Zlib,
    /// Zstandard.
    Zstd,
}

/// A body may unpack to this many times its size. Telemetry becomes five to twenty times smaller.
const MAX_RATIO: usize = 16;

/// A body may always unpack to this many bytes.
const MIN_LIMIT_BYTES: usize = 64 * 1024;

/// The first bytes of an Avro file, whose blocks may be compressed.
const AVRO_FILE: &[u8] = b"Obj\x01";

impl Compression {
    /// Returns the compression that the first bytes of a body show; `None` if they show none. No JSON text begins like that.
    #[must_use]
    pub fn detect(body: &[u8]) -> Option<Self> {
        match body {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // The checksum of the header, and no dictionary.
            [0x78, flags, ..] if (0x7800 + u16::from(*flags)).is_multiple_of(31) && flags & 0x20 == 0 => {
                Some(Self::Zlib)
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Returns the number of bytes that a compressed body of this size may unpack to, including all that is compressed in it.
#[must_use]
pub fn unpack_limit(packed_bytes: usize) -> usize {
    packed_bytes.saturating_mul(MAX_RATIO).max(MIN_LIMIT_BYTES)
}

/// Returns the maximum number of bytes that decoding a body reads: those of the unpacked body.
pub(crate) fn max_unpacked_bytes(body: &[u8]) -> usize {
    let is_compressed = Compression::detect(body).is_some() || body.starts_with(AVRO_FILE);
    if is_compressed { unpack_limit(body.len()) } else { body.len() }
}

/// Returns what a reader unpacks. Unpacking stops at the limit. `format` and `packed_bytes` are for the message.
///
/// # Errors
///
/// Returns a [`Poison`] if the body is damaged, or larger than the limit.
pub fn read_unpacked(reader: impl Read, format: &str, packed_bytes: usize, limit: usize) -> Result<Vec<u8>, Poison> {
    let mut unpacked = Vec::new();
    match reader.take(limit as u64 + 1).read_to_end(&mut unpacked) {
        Ok(bytes) if bytes > limit => Err(Poison::Undecodable(format!(
            "the {format} body of {packed_bytes} bytes unpacks to more than {limit} bytes, which is the limit for its size"
        ))),
        Ok(_) => Ok(unpacked),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Poison::Undecodable(format!("the {format} body ends in the middle")))
        }
        Err(error) => Err(Poison::Undecodable(format!("the {format} body is damaged: {error}"))),
    }
}

/// Returns the unpacked body, or the body itself if it is not compressed with gzip.
///
/// # Errors
///
/// Returns a [`Poison`] if it is damaged, or larger than telemetry can be.
pub(super) fn unpacked_gzip(body: &[u8]) -> Result<Cow<'_, [u8]>, Poison> {
    if Compression::detect(body) != Some(Compression::Gzip) {
        return Ok(Cow::Borrowed(body));
    }
    read_unpacked(MultiGzDecoder::new(body), "gzip", body.len(), unpack_limit(body.len())).map(Cow::Owned)
}
