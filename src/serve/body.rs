//! Collects the body of a request.

use std::mem;

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::connections::MAX_SILENCE;

/// Why a request has no complete body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the connection was closed before the complete request had arrived: {0}")]
    Closed(#[from] axum::Error),
    #[error("nothing of the rest of the request arrived for {} s", MAX_SILENCE.as_secs())]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// Collects a body, unless it is silent for [`MAX_SILENCE`]. The silence may last up to twice as long, because there is
/// one timer for many frames. One for each would cost 700 instructions more per frame of 1 KB.
pub(super) async fn collect_body(mut body: Body) -> Result<Bytes, BodyError> {
    let mut collected = Collected::default();
    loop {
        let bytes = collected.bytes();
        match timeout(MAX_SILENCE, collected.add_frames(&mut body)).await {
            Err(_) if collected.bytes() > bytes => {}
            ended => {
                ended??;
                return Ok(collected.into_bytes());
            }
        }
    }
}

/// The part of a body that has arrived. A body of one frame is not copied. The frames of a longer one are copied as they arrive
/// and then dropped, since the connection reuses their memory.
#[derive(Default)]
struct Collected {
    /// The first frame, until there is a second one.
    first: Bytes,
    copied: Vec<u8>,
}

impl Collected {
    async fn add_frames(&mut self, body: &mut Body) -> Result<(), axum::Error> {
        while let Some(frame) = next_data(body).await? {
            self.add(frame, body.size_hint().lower());
        }
        Ok(())
    }

    /// Adds a frame. `remaining` is the number of bytes that `Content-Length` announces after it.
    fn add(&mut self, frame: Bytes, remaining: u64) {
        /// Limits how much memory is reserved for bytes that are announced. They may never arrive.
        const MAX_RESERVED_BYTES: usize = 1 << 20;
        if self.bytes() == 0 {
            self.first = frame;
            return;
        }
        if self.copied.is_empty() {
            let reserved = usize::try_from(remaining).unwrap_or_default().min(MAX_RESERVED_BYTES);
            self.copied.reserve_exact(self.first.len() + frame.len() + reserved);
            self.copied.extend_from_slice(&mem::take(&mut self.first));
        }
        self.copied.extend_from_slice(&frame);
    }

    fn bytes(&self) -> usize {
        self.first.len() + self.copied.len()
    }

    fn into_bytes(self) -> Bytes {
        if self.copied.is_empty() { self.first } else { self.copied.into() }
    }
}

/// Returns the next frame, unless the body is silent for [`MAX_SILENCE`].
pub(super) async fn next_frame(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    Ok(timeout(MAX_SILENCE, next_data(body)).await??)
}

/// Returns the next frame with data. The other kind holds trailers, which the host does not send.
async fn next_data(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
