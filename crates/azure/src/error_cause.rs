//! The causes of an SDK's errors.

use std::{error::Error, io, iter};

/// An error, or one of its causes.
pub(crate) type DynError<'a> = &'a (dyn Error + 'static);

/// Returns an error and its causes, the root cause last.
pub(crate) fn causes(error: DynError<'_>) -> impl Iterator<Item = DynError<'_>> {
    iter::successors(Some(error), |&error| error.source())
}

/// Returns the message of an error, without the number that the system gives it.
pub(crate) fn message(error: DynError<'_>) -> String {
    let code = error.downcast_ref::<io::Error>().filter(|error| error.raw_os_error().is_some());
    code.map_or_else(|| error.to_string(), |error| error.kind().to_string())
}

/// Returns the message of the root cause.
pub(crate) fn root_cause(error: DynError<'_>) -> String {
    causes(error).last().map(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_number_of_the_system() {
        assert_eq!(message(&io::Error::from_raw_os_error(2)), "entity not found");
        assert_eq!(message(&io::Error::other("the reason")), "the reason");
    }
}
