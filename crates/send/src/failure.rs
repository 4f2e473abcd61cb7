//! Why the hub did not accept a batch, and whether another attempt can succeed.

use std::{fmt, time::Duration};

use azure_core_amqp::{AmqpDescribedError, AmqpError, AmqpErrorCondition, AmqpErrorKind};

/// Why the hub did not accept events, or may not have accepted them.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    reason: String,
}

/// The kind of a failure: whether the hub may have accepted the events, and whether another attempt can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The hub rejected the batch. The link is still usable.
    Rejected,
    /// Nothing was sent, because there is no link.
    NotSent,
    /// There is no response: the hub may have accepted the batch or not. The link is no longer usable.
    Unknown,
    /// Another attempt would fail too.
    Permanent,
}

impl Failure {
    pub(crate) fn permanent(reason: String) -> Self {
        Self { kind: FailureKind::Permanent, reason }
    }

    pub(crate) fn not_sent(reason: String) -> Self {
        Self { kind: FailureKind::NotSent, reason }
    }

    /// Creates the failure of a batch that the hub did not accept, with this AMQP outcome.
    pub(crate) fn not_accepted(outcome: &str) -> Self {
        Self { kind: FailureKind::Rejected, reason: format!("the hub did not accept the batch (outcome: {outcome})") }
    }

    /// Creates the failure of a request to which the hub did not respond within this time.
    pub(crate) fn timed_out(kind: FailureKind, time: Duration) -> Self {
        Self { kind, reason: format!("the hub did not respond within {} s (--timeout)", time.as_secs_f64()) }
    }

    /// Creates the failure of a link that could not be opened. Nothing was sent.
    pub(crate) fn open_failed(error: &AmqpError) -> Self {
        let is_permanent = match error.kind() {
            AmqpErrorKind::AmqpDescribedError(error) => {
                is_request_error(&error.condition) || is_denied(&error.condition)
            }
            AmqpErrorKind::ManagementStatusCode(status, _) => matches!(u16::from(*status), 400 | 401 | 403 | 404),
            _ => false,
        };
        Self { kind: if is_permanent { FailureKind::Permanent } else { FailureKind::NotSent }, reason: describe(error) }
    }

    /// Creates the failure of a link that was lost before the hub responded.
    ///
    /// `UnauthorizedAccess` is not permanent here: the token has expired, and the next link has a new one.
    pub(crate) fn send_failed(error: &AmqpError) -> Self {
        let is_permanent =
            matches!(error.kind(), AmqpErrorKind::AmqpDescribedError(error) if is_request_error(&error.condition));
        Self { kind: if is_permanent { FailureKind::Permanent } else { FailureKind::Unknown }, reason: describe(error) }
    }

    /// Creates the failure of a batch that the hub rejected with this reason.
    pub(crate) fn rejected(error: Option<&AmqpDescribedError>) -> Self {
        let Some(error) = error else { return Self::not_accepted("rejected without a reason") };
        let is_permanent = is_request_error(&error.condition) || is_denied(&error.condition);
        Self {
            kind: if is_permanent { FailureKind::Permanent } else { FailureKind::Rejected },
            reason: describe_condition(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Returns whether the request itself is invalid, so that it would fail again.
fn is_request_error(condition: &AmqpErrorCondition) -> bool {
    use AmqpErrorCondition as Condition;
    matches!(
        condition,
        Condition::NotFound
            | Condition::NotAllowed
            | Condition::NotImplemented
            | Condition::InvalidField
            | Condition::DecodeError
            | Condition::ResourceDeleted
            | Condition::LinkPayloadSizeExceeded
            | Condition::ArgumentError
            | Condition::ArgumentOutOfRangeError
            | Condition::PublisherRevokedError
    )
}

fn is_denied(condition: &AmqpErrorCondition) -> bool {
    *condition == AmqpErrorCondition::UnauthorizedAccess
}

fn describe(error: &AmqpError) -> String {
    match error.kind() {
        AmqpErrorKind::AmqpDescribedError(error) => describe_condition(error),
        AmqpErrorKind::AzureCore(error) => error.to_string(),
        _ => error.to_string(),
    }
}

fn describe_condition(error: &AmqpDescribedError) -> String {
    let condition: &str = (&error.condition).into();
    match &error.description {
        Some(description) => format!("{condition}: {description}"),
        None => condition.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use azure_core_amqp::AmqpOrderedMap;

    use super::*;

    fn error(condition: AmqpErrorCondition) -> AmqpError {
        AmqpErrorKind::AmqpDescribedError(AmqpDescribedError::new(condition, None, AmqpOrderedMap::default())).into()
    }

    #[test]
    fn a_busy_hub_accepted_nothing_and_a_lost_link_may_have_accepted_all() {
        let busy = AmqpDescribedError::new(AmqpErrorCondition::ServerBusyError, None, AmqpOrderedMap::default());
        assert_eq!(Failure::rejected(Some(&busy)).kind, FailureKind::Rejected);
        assert_eq!(Failure::rejected(None).kind, FailureKind::Rejected);
        assert_eq!(Failure::send_failed(&error(AmqpErrorCondition::LinkDetachForced)).kind, FailureKind::Unknown);
        assert_eq!(Failure::open_failed(&error(AmqpErrorCondition::ConnectionForced)).kind, FailureKind::NotSent);
    }

    #[test]
    fn an_expired_token_is_replaced_once() {
        let denied = error(AmqpErrorCondition::UnauthorizedAccess);
        assert_eq!(Failure::send_failed(&denied).kind, FailureKind::Unknown);
        assert_eq!(Failure::open_failed(&denied).kind, FailureKind::Permanent);
    }

    #[test]
    fn a_missing_hub_and_a_too_large_batch_are_permanent_failures() {
        assert_eq!(Failure::open_failed(&error(AmqpErrorCondition::NotFound)).kind, FailureKind::Permanent);
        assert_eq!(
            Failure::send_failed(&error(AmqpErrorCondition::LinkPayloadSizeExceeded)).kind,
            FailureKind::Permanent
        );
    }
}
