//! What went wrong with a storage service, for people: what failed, where, which setting to look at, what to do.

use std::{io, sync::Arc};

use azure_core::error::ErrorKind;
use devicestate_engine::{queue::QueueError, settings::ConfigError};

/// Something that a storage service did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} at {}: {fault} (setting {})", resource.subject, resource.host, resource.setting)]
pub struct StorageError {
    pub(crate) resource: Resource,
    /// What it is.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no connection.
    #[error("it cannot be reached: {0}; is the address right, and is the service up?")]
    Unreachable(String),
    /// There is a connection and no answer.
    #[error("it does not answer in time")]
    Silent,
    /// It asks for patience, or fails by itself.
    #[error("it is busy or out of order ({0})")]
    Busy(String),
    /// The account key is refused.
    #[error(
        "the key is not the account's; if it is, this machine's clock is wrong or the account's network rules keep it \
         out ({0})"
    )]
    WrongKey(String),
    /// The account takes no keys at all.
    #[error("the account takes no keys: connect with an identity")]
    NoKeys,
    /// The shared access signature is refused.
    #[error("the shared access signature has expired or does not allow this; make a new one ({0})")]
    Signature(String),
    /// The identity may not do this.
    #[error("the identity needs the role {role}, and some minutes after it is given ({code})")]
    Role {
        /// The role.
        role: &'static str,
        /// The service's word for it.
        code: String,
    },
    /// There is no token for the identity.
    #[error("there is no token for the identity: {0}")]
    Token(String),
    /// The account is closed to this machine or to this identity.
    #[error("it does not let the identity in from here; look at the account's network rules, then at its roles ({0})")]
    Closed(String),
    /// The queue or the container is not there.
    #[error("it does not exist; make it, or look whether name and account are the right ones")]
    Missing,
    /// Somebody else has taken or deleted the message since it was received.
    #[error("the message is not there any more, or somebody else has received it since")]
    Gone,
    /// It is too large.
    #[error("the message is too large: {bytes} bytes, of {limit} that a queue takes")]
    TooLarge {
        /// How large the body is.
        bytes: usize,
        /// How large it may be, in the encoding of the message.
        limit: usize,
    },
    /// The message lies in the queue as plain text, and the new body is none.
    #[error("the message is plain text and stays it, and these bytes are no text that a queue takes")]
    NoText,
    /// The name is none.
    #[error("the name is not allowed: 3 to 63 lower-case letters, digits and single dashes are")]
    BadName,
    /// Anything else that the service refuses.
    #[error("it refuses the request ({0})")]
    Refused(String),
    /// The answer makes no sense.
    #[error("its answer cannot be understood: {0}")]
    Unreadable(String),
}

/// What a client asks for, and on whose behalf: what its errors tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The thing, such as "the queue deadletters".
    pub(crate) subject: String,
    pub(crate) host: String,
    /// The setting that leads there.
    pub(crate) setting: String,
    /// The role without which an identity can do nothing there.
    pub(crate) role: &'static str,
    pub(crate) by: By,
}

/// What a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Key,
    Signature,
    Identity,
}

impl From<StorageError> for QueueError {
    fn from(error: StorageError) -> Self {
        let classify = match error.fault {
            Fault::Gone => Self::Gone,
            Fault::TooLarge { .. } | Fault::NoText => Self::Refused,
            _ => Self::Unavailable,
        };
        classify(Arc::new(error))
    }
}

impl Resource {
    pub(crate) fn error(&self, fault: Fault) -> StorageError {
        StorageError { resource: self.clone(), fault }
    }

    /// The address leads to no client. What the SDK says of it holds the address, and so perhaps a signature.
    pub(crate) fn unusable(&self) -> ConfigError {
        ConfigError::Connection { setting: self.setting.clone(), problem: "has an address of no service".into() }
    }

    /// What an error of the SDK comes to. Of the SDK's text only the innermost cause is told: what is wrapped around it
    /// holds addresses, which may hold signatures, and the service's answer.
    pub(crate) fn translate(&self, error: &azure_core::Error) -> StorageError {
        self.error(match error.kind() {
            ErrorKind::HttpResponse { status, error_code, .. } => {
                self.refusal(u16::from(*status), error_code.as_deref().unwrap_or_default())
            }
            ErrorKind::Connection | ErrorKind::Io if timed_out(error) => Fault::Silent,
            ErrorKind::Connection | ErrorKind::Io => Fault::Unreachable(innermost(error)),
            ErrorKind::Credential => Fault::Token(innermost(error)),
            _ => Fault::Unreadable(innermost(error)),
        })
    }

    fn refusal(&self, status: u16, code: &str) -> Fault {
        let told = if code.is_empty() { format!("status {status}") } else { format!("status {status}, {code}") };
        match (status, code) {
            (_, "KeyBasedAuthenticationNotPermitted") => Fault::NoKeys,
            (401 | 403, code) => match self.by {
                By::Key => Fault::WrongKey(told),
                By::Signature => Fault::Signature(told),
                // The one word for "not from there", and where an account is closed for "not you" as well.
                By::Identity if code == "AuthorizationFailure" => Fault::Closed(told),
                By::Identity => Fault::Role { role: self.role, code: told },
            },
            (_, "MessageNotFound" | "PopReceiptMismatch") => Fault::Gone,
            (404, _) => Fault::Missing,
            (_, "InvalidResourceName" | "OutOfRangeInput") => Fault::BadName,
            (_, "ContainerBeingDeleted" | "QueueBeingDeleted") | (408 | 429 | 500.., _) => Fault::Busy(told),
            _ => Fault::Refused(told),
        }
    }
}

/// An error behind another one.
type Behind<'a> = &'a (dyn std::error::Error + 'static);

fn causes(error: &azure_core::Error) -> impl Iterator<Item = Behind<'_>> {
    std::iter::successors(Some(error as Behind<'_>), |&error| error.source())
}

fn timed_out(error: &azure_core::Error) -> bool {
    let mut errors = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    errors.any(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn innermost(error: &azure_core::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Service;

    fn fault(service: Service, by: By, status: u16, code: &str) -> StorageError {
        let [subject, host, setting] = ["the queue q", "drones.queue.core.windows.net", "S"].map(str::to_owned);
        let resource = Resource { subject, host, setting, role: service.role(), by };
        resource.error(resource.refusal(status, code))
    }

    #[test]
    fn a_refusal_tells_what_to_do_about_it() {
        for (service, by, status, code, words) in [
            (Service::Queue, By::Key, 403, "AuthenticationFailed", "the key is not the account's"),
            (Service::Queue, By::Key, 403, "KeyBasedAuthenticationNotPermitted", "connect with an identity"),
            (Service::Queue, By::Identity, 403, "AuthorizationPermissionMismatch", "Storage Queue Data Contributor"),
            (Service::Blob, By::Identity, 403, "AuthorizationPermissionMismatch", "Storage Blob Data Contributor"),
            (Service::Blob, By::Identity, 403, "AuthorizationFailure", "network rules"),
            (Service::Blob, By::Signature, 403, "AuthenticationFailed", "shared access signature"),
            (Service::Queue, By::Key, 404, "QueueNotFound", "does not exist"),
            (Service::Queue, By::Key, 404, "MessageNotFound", "not there any more"),
            (Service::Queue, By::Key, 400, "PopReceiptMismatch", "not there any more"),
            (Service::Queue, By::Key, 400, "InvalidResourceName", "not allowed"),
            (
                Service::Queue,
                By::Key,
                400,
                "InvalidXmlDocument",
                "refuses the request (status 400, InvalidXmlDocument)",
            ),
            (Service::Queue, By::Key, 418, "", "refuses the request (status 418)"),
        ] {
            let error = fault(service, by, status, code);
            let text = error.to_string();
            assert!(text.starts_with("the queue q at drones.queue.core.windows.net: "), "{text}");
            assert!(text.contains(words) && text.ends_with("(setting S)"), "{words:?} is not in: {text}");
        }
    }

    #[test]
    fn what_asks_for_patience_is_busy() {
        let answers = [(503, "ServerBusy"), (500, "InternalError"), (429, ""), (408, ""), (409, "QueueBeingDeleted")];
        for (status, code) in answers {
            let error = fault(Service::Queue, By::Key, status, code);
            assert!(matches!(error.fault, Fault::Busy(_)), "{error}");
            assert!(error.to_string().contains(&status.to_string()), "{error}");
        }
    }
}
