//! Unpacks bodies that devices have compressed.

use std::io::{self, Read};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_engine::telemetry::{
    Poison,
    compression::{Compression, read_unpacked},
};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{
    FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::Budget;

/// The window that a decoder should support, according to the format's specification (RFC 8878).
const MAX_ZSTD_WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Its first bytes show it.
    Detected(Compression),
    /// Zlib with another window than usual, which the content encoding has to name.
    Zlib,
    /// Deflate without a header, which some senders mean by `deflate`.
    Deflate,
}

/// Returns how a body is compressed. Some formats other than text can begin like zlib and zstd: for those, the content encoding
/// has to name the compression.
pub(super) fn detect<'a>(
    body: &[u8],
    is_binary: bool,
    content_encoding: impl FnOnce() -> Option<&'a str>,
) -> Option<Format> {
    let detected = Compression::detect(body);
    match (detected, is_binary) {
        (Some(Compression::Gzip), _) | (Some(_), false) => return detected.map(Format::Detected),
        (None, false) if body.is_empty() || matches!(body, [b'{' | b'[' | b'"' | b' ', ..]) => return None,
        _ => {}
    }
    let encoding = plain_name(content_encoding()?);
    match (encoding.as_str(), detected) {
        ("zstd", Some(Compression::Zstd)) | ("deflate" | "zlib", Some(Compression::Zlib)) => {
            detected.map(Format::Detected)
        }
        ("deflate" | "zlib", _) if is_zlib(body) => Some(Format::Zlib),
        ("deflate", _) => Some(Format::Deflate),
        _ => None,
    }
}

/// Returns the name of a content encoding in lower case. Properties that come through Kafka's protocol are in base64.
fn plain_name(encoding: &str) -> String {
    let decoded = STANDARD.decode(encoding).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let names = ["gzip", "deflate", "zlib", "zstd"];
    decoded.filter(|name| names.contains(&name.as_str())).unwrap_or_else(|| encoding.trim().to_ascii_lowercase())
}

fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..] if method & 0x0f == 8
        && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31) && flags & 0x20 == 0)
}

/// Unpacks a body.
pub(super) fn unpack(body: &[u8], format: Format, budget: &mut Budget) -> Result<Vec<u8>, Poison> {
    let Budget { packed_bytes, bytes: limit, .. } = *budget;
    let unpacked = match format {
        Format::Detected(Compression::Gzip) => read_unpacked(MultiGzDecoder::new(body), "gzip", packed_bytes, limit),
        Format::Detected(Compression::Zlib) | Format::Zlib => {
            read_unpacked(ZlibDecoder::new(body), "deflate", packed_bytes, limit)
        }
        Format::Deflate => read_unpacked(DeflateDecoder::new(body), "deflate", packed_bytes, limit),
        Format::Detected(Compression::Zstd) => read_unpacked(ZstdReader::new(body), "zstd", packed_bytes, limit),
    }?;
    budget.bytes -= unpacked.len();
    Ok(unpacked)
}

/// Unpacks a block of an Avro file that is deflate, which has no header there.
pub(crate) fn unpack_deflate(block: &[u8], budget: &mut Budget) -> Result<Vec<u8>, Poison> {
    unpack(block, Format::Deflate, budget)
}

/// Unpacks a block of an Avro file that is Zstandard.
pub(crate) fn unpack_zstd(block: &[u8], budget: &mut Budget) -> Result<Vec<u8>, Poison> {
    unpack(block, Format::Detected(Compression::Zstd), budget)
}

/// Reads the frames of Zstandard data, block by block, and compares their checksums.
struct ZstdReader<'b> {
    rest: &'b [u8],
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<'b> ZstdReader<'b> {
    fn new(body: &'b [u8]) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_ZSTD_WINDOW_BYTES);
        Self { rest: body, decoder, is_in_frame: false }
    }

    /// Starts the next frame that has content.
    fn start_frame(&mut self) -> io::Result<()> {
        match self.decoder.init(&mut self.rest) {
            Ok(()) => self.is_in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.rest = self.rest.get(length..).ok_or(io::ErrorKind::UnexpectedEof)?;
            }
            Err(error) => return Err(self.error(error)),
        }
        Ok(())
    }

    /// Returns an error that says if the data end in the middle.
    fn error(&self, error: FrameDecoderError) -> io::Error {
        if self.rest.is_empty() { io::ErrorKind::UnexpectedEof.into() } else { io::Error::other(error) }
    }
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_in_frame {
                if self.rest.is_empty() {
                    return Ok(0);
                }
                self.start_frame()?;
                continue;
            }
            let bytes = self.decoder.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            if self.decoder.is_finished() {
                let (expected, actual) =
                    (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
                if expected.is_some() && expected != actual {
                    return Err(io::Error::other("its checksum is different"));
                }
                self.is_in_frame = false;
            } else {
                let blocks = ruzstd::decoding::BlockDecodingStrategy::UptoBlocks(1);
                let result = self.decoder.decode_blocks(&mut self.rest, blocks);
                result.map_err(|error| self.error(error))?;
            }
        }
    }
}
