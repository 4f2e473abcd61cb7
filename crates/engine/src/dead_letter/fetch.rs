//! A dead letter and its event as they were, from wherever their parts lie.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{DeadLetter, Overflow};

/// A dead letter whole, from the overflow if it lies there.
///
/// # Errors
///
/// [`FetchError`].
pub async fn fetch_complete(letter: &DeadLetter, overflow: Option<&dyn Overflow>) -> Result<DeadLetter, FetchError> {
    let Some(pointer) = &letter.overflow else { return Ok(letter.clone()) };
    let Some(overflow) = overflow else {
        return Err(FetchError::Unavailable(format!(
            "a dead letter lies at {}, and no setting tells how to get there: DeadLetterDirectory is a folder, \
             DeadLetterStorage leads to blobs",
            pointer.location
        )));
    };
    let bytes = pointer.fetch(overflow).await.map_err(|error| {
        if error.is_message_specific() {
            FetchError::Lost(error.to_string())
        } else {
            FetchError::Unavailable(error.to_string())
        }
    })?;
    let complete: DeadLetter = serde_json::from_slice(&bytes)
        .map_err(|error| FetchError::Lost(format!("what lies at {} is no dead letter: {error}", pointer.location)))?;
    // What became known since it was kept stands in the message.
    Ok(DeadLetter { replay: letter.replay.clone(), ..complete })
}

/// Why a dead letter cannot be had whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It is not where it should be, or is not what it was.
    #[error("{0}")]
    Lost(String),
    /// The place where it should be cannot be reached, and so none of those that are there.
    #[error("{0}")]
    Unavailable(String),
}

/// The exact bytes of the event.
///
/// # Errors
///
/// Why there are none, for people.
pub fn event_body(letter: &DeadLetter) -> Result<Vec<u8>, String> {
    let data = &letter.event_data;
    if let Some(fingerprint) = &data.body_cut {
        let kept = data.body.as_deref().map_or(0, |body| body.len() / 4 * 3);
        return Err(format!(
            "only some {kept} of the {} bytes of its body were kept, since there was no place for it",
            fingerprint.length
        ));
    }
    let body = data.body.as_deref().ok_or("it has no body")?;
    BASE64_STANDARD.decode(body).map_err(|error| format!("its body is no base64: {error}"))
}
