//! The causes of an SDK's errors.

use std::{error::Error, iter};

use devicestate_engine::text::error_message;

/// An error, or one of its causes.
pub(crate) type DynError<'a> = &'a (dyn Error + 'static);

/// Returns an error and its causes, the root cause last.
pub(crate) fn causes(error: DynError<'_>) -> impl Iterator<Item = DynError<'_>> {
    iter::successors(Some(error), |&error| error.source())
}

/// Returns the message of the root cause.
pub(crate) fn root_cause(error: DynError<'_>) -> String {
    causes(error).last().map(error_message).unwrap_or_default()
}
