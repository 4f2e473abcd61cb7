//! Fetches a complete dead letter and its event, from the message or the overflow.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{DeadLetter, Overflow};

/// Returns the complete dead letter, from the overflow if it is stored there.
///
/// # Errors
///
/// Returns a [`FetchError`] if it is in the overflow and cannot be read.
pub async fn fetch_complete(letter: &DeadLetter, overflow: Option<&dyn Overflow>) -> Result<DeadLetter, FetchError> {
    let Some(pointer) = &letter.overflow else { return Ok(letter.clone()) };
    let Some(overflow) = overflow else {
        return Err(FetchError::Unavailable(format!(
            "the complete dead letter is stored at {}, and no setting gives access to it: set `DeadLetterDirectory` to its \
             folder, or `DeadLetterStorage` to the storage account of its blob",
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
    let complete: DeadLetter = serde_json::from_slice(&bytes).map_err(|error| {
        FetchError::Lost(format!("the content of {} is not a dead letter: {error}", pointer.location))
    })?;
    // The message may have been replayed after the dead letter was stored.
    Ok(DeadLetter { replay: letter.replay.clone(), ..complete })
}

/// Why a complete dead letter cannot be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// This dead letter is missing from the overflow, or was changed. Others may be readable.
    #[error("{0}")]
    Lost(String),
    /// The overflow cannot be read, and therefore no dead letter in it.
    #[error("{0}")]
    Unavailable(String),
}

/// Returns the exact bytes of the event.
///
/// # Errors
///
/// Returns a description of the problem if the dead letter does not have the complete body.
pub fn event_body(letter: &DeadLetter) -> Result<Vec<u8>, String> {
    let data = &letter.event_data;
    if let Some(fingerprint) = &data.body_cut {
        let kept = data.body.as_deref().map_or(0, |body| body.len() / 4 * 3);
        return Err(format!(
            "the body was truncated to about {kept} of {} bytes, because it could not be stored in the overflow",
            fingerprint.length
        ));
    }
    let body = data.body.as_deref().ok_or("the body is missing")?;
    BASE64_STANDARD.decode(body).map_err(|error| format!("the body is not valid base64: {error}"))
}
