//! What came in place of the hub's yes, and what it means for the events.

use std::{fmt, time::Duration};

use azure_core_amqp::{AmqpDescribedError, AmqpError, AmqpErrorCondition, AmqpErrorKind};

/// Why events are not known to be in the hub.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) meaning: Meaning,
    reason: String,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The hub answered that it has taken nothing. The link is as good as before.
    Refused,
    /// Nothing was sent, since there is no link.
    NotSent,
    /// No answer came: the hub may have taken all of the batch, or nothing. The link is worth nothing any more.
    Unknown,
    /// It would be the same the next time.
    Never,
}

impl Failure {
    pub(crate) fn never(reason: String) -> Self {
        Self { meaning: Meaning::Never, reason }
    }

    pub(crate) fn not_sent(reason: String) -> Self {
        Self { meaning: Meaning::NotSent, reason }
    }

    /// The hub gave the batch back.
    pub(crate) fn given_back(outcome: &str) -> Self {
        Self { meaning: Meaning::Refused, reason: format!("the hub gave it back ({outcome})") }
    }

    /// Nothing was heard for so long.
    pub(crate) fn silence(meaning: Meaning, time: Duration) -> Self {
        Self { meaning, reason: format!("no answer came within {} s (--timeout)", time.as_secs_f64()) }
    }

    /// No link came about. Nothing was sent over it.
    pub(crate) fn to_open(error: &AmqpError) -> Self {
        let never = match error.kind() {
            AmqpErrorKind::AmqpDescribedError(error) => is_final(&error.condition) || is_denied(&error.condition),
            AmqpErrorKind::ManagementStatusCode(status, _) => matches!(u16::from(*status), 400 | 401 | 403 | 404),
            _ => false,
        };
        Self { meaning: if never { Meaning::Never } else { Meaning::NotSent }, reason: told(error) }
    }

    /// The link ended before an answer came.
    ///
    /// Who is denied at this point has a token that is not valid any more: the next link has a new one.
    pub(crate) fn to_send(error: &AmqpError) -> Self {
        let never = matches!(error.kind(), AmqpErrorKind::AmqpDescribedError(error) if is_final(&error.condition));
        Self { meaning: if never { Meaning::Never } else { Meaning::Unknown }, reason: told(error) }
    }

    /// The hub refused the batch, with this reason.
    pub(crate) fn refused(error: Option<&AmqpDescribedError>) -> Self {
        let Some(error) = error else { return Self::given_back("rejected without a reason") };
        let never = is_final(&error.condition) || is_denied(&error.condition);
        Self { meaning: if never { Meaning::Never } else { Meaning::Refused }, reason: described(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Whether the fault is in what was asked for.
fn is_final(condition: &AmqpErrorCondition) -> bool {
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

fn told(error: &AmqpError) -> String {
    match error.kind() {
        AmqpErrorKind::AmqpDescribedError(error) => described(error),
        AmqpErrorKind::AzureCore(error) => error.to_string(),
        _ => error.to_string(),
    }
}

fn described(error: &AmqpDescribedError) -> String {
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
    fn a_busy_hub_took_nothing_and_a_link_that_ended_may_have_taken_all() {
        let busy = AmqpDescribedError::new(AmqpErrorCondition::ServerBusyError, None, AmqpOrderedMap::default());
        assert_eq!(Failure::refused(Some(&busy)).meaning, Meaning::Refused);
        assert_eq!(Failure::refused(None).meaning, Meaning::Refused);
        assert_eq!(Failure::to_send(&error(AmqpErrorCondition::LinkDetachForced)).meaning, Meaning::Unknown);
        assert_eq!(Failure::to_open(&error(AmqpErrorCondition::ConnectionForced)).meaning, Meaning::NotSent);
    }

    #[test]
    fn who_is_denied_in_the_middle_asks_again_with_a_new_token_and_then_not_any_more() {
        let denied = error(AmqpErrorCondition::UnauthorizedAccess);
        assert_eq!(Failure::to_send(&denied).meaning, Meaning::Unknown);
        assert_eq!(Failure::to_open(&denied).meaning, Meaning::Never);
    }

    #[test]
    fn a_hub_that_is_not_there_and_a_batch_that_is_too_large_will_not_get_better() {
        assert_eq!(Failure::to_open(&error(AmqpErrorCondition::NotFound)).meaning, Meaning::Never);
        assert_eq!(Failure::to_send(&error(AmqpErrorCondition::LinkPayloadSizeExceeded)).meaning, Meaning::Never);
    }
}
