//! Fetches a complete dead letter and its event, from the message or the overflow.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{DeadLetter, IdCheck, Overflow, OverflowError, is_dead_letter_id, without_query};
use crate::text::truncated;

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
    let failed = |error: OverflowError| {
        let is_lost = error.is_message_specific();
        if is_lost { FetchError::Lost(error.to_string()) } else { FetchError::Unavailable(error.to_string()) }
    };
    let bytes = pointer.fetch(overflow).await.map_err(failed)?;
    let complete = letter.parse_complete(&bytes).map_err(|reason| {
        let location = without_query(&pointer.location);
        FetchError::Lost(format!("the content of {location:?} {reason}. Restore it, or discard the message"))
    })?;
    // The message may have been replayed after the dead letter was stored.
    Ok(DeadLetter { replay: letter.replay.clone(), ..complete })
}

impl DeadLetter {
    /// Parses the complete dead letter that this message stands for, and checks that it is the one of this message and of its
    /// own event: its id becomes a name in the overflow, and selects what a command replaces or deletes.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the text, such as `is not a dead letter: …`.
    pub fn parse_complete(&self, text: &[u8]) -> Result<Self, String> {
        let complete: Self = serde_json::from_slice(text).map_err(|error| format!("is not a dead letter: {error}"))?;
        if complete.id != self.id || !is_dead_letter_id(&complete.id) {
            let id = truncated(&complete.id);
            return Err(format!(
                "is not the dead letter of this message: its Id is {id:?}, not {:?}",
                truncated(&self.id)
            ));
        }
        match complete.check_id() {
            IdCheck::Matches => Ok(complete),
            // It moved to the overflow after a failed replay. It cannot be replayed in any case.
            IdCheck::Incomplete if complete.event_data.body_cut.is_some() => Ok(complete),
            IdCheck::Differs | IdCheck::Incomplete => {
                Err("was changed: its Id is not the hash of its event's position and body".into())
            }
        }
    }
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
