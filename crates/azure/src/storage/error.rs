//! Errors of a storage service: what failed, on which resource, why, what to do, and the setting to check.

use std::{io, sync::Arc};

use azure_core::error::ErrorKind;
use devicestate_engine::{queue::QueueError, settings::ConfigError};

use crate::error_cause::{causes, root_cause};

/// The error of a request to a storage service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} at {}: {kind} (setting `{}`)", resource.subject, resource.host, resource.setting)]
pub struct StorageError {
    pub(crate) resource: Resource,
    /// The kind of the failure.
    pub kind: StorageErrorKind,
}

/// The kind of a failed request to a storage service. The strings hold the status and error code of the response, or the root
/// cause of the SDK's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageErrorKind {
    /// The connection failed.
    #[error("the connection failed: {0}; check the address, and that the service is available")]
    Unreachable(String),
    /// The service did not respond within the time limit of a try.
    #[error("the service did not answer in time")]
    Timeout,
    /// The service throttles the request or failed temporarily.
    #[error("the service is busy or failed ({0})")]
    Busy(String),
    /// The account key was rejected.
    #[error(
        "the account key was rejected; check the key, then this machine's clock, then the account's network rules ({0})"
    )]
    WrongKey(String),
    /// The account does not accept keys.
    #[error("the account does not accept keys; connect with an identity")]
    KeysDisabled,
    /// The shared access signature was rejected.
    #[error("the shared access signature has expired or does not allow this operation; create a new one ({0})")]
    InvalidSignature(String),
    /// The identity lacks a role.
    #[error("the identity needs the role {role}; a new role assignment takes effect after some minutes ({code})")]
    MissingRole {
        /// The role.
        role: &'static str,
        /// The status and error code of the response.
        code: String,
    },
    /// No token could be obtained for the identity.
    #[error("no token for the identity could be obtained: {0}")]
    NoToken(String),
    /// The account denies access from this machine or to this identity.
    #[error(
        "the account denies the identity access from this machine; check the account's network rules, then the \
         identity's roles ({0})"
    )]
    AccessDenied(String),
    /// The queue does not exist.
    #[error(
        "it does not exist; the host creates it with the first dead letter: if there was one, correct its name or the \
         account; to import, create it"
    )]
    MissingQueue,
    /// The container or blob does not exist, or the address is not one of a storage service.
    #[error("it does not exist; create it, or correct its name or the account")]
    Missing,
    /// The message was deleted or received again since this client received it.
    #[error("the message no longer exists, or another receiver has received it since")]
    Gone,
    /// The message is too large.
    #[error("the message is too large: it has {bytes} bytes, and the queue accepts at most {limit}")]
    TooLarge {
        /// The size of the body.
        bytes: usize,
        /// The largest body in the encoding of the message, in bytes.
        limit: usize,
    },
    /// The message is plain text in the queue, and the new body cannot be written as text.
    #[error("the message is plain text and keeps that encoding, and the new body is not text that a queue accepts")]
    NotText,
    /// The name of the queue or container is invalid.
    #[error("the name is invalid; it must be 3 to 63 lower-case letters, digits and single dashes")]
    InvalidName,
    /// The service rejected the request for another reason.
    #[error("the service rejected the request ({0})")]
    Rejected(String),
    /// The response is invalid.
    #[error("the response is invalid: {0}")]
    InvalidResponse(String),
}

/// The resource that a client accesses and its credential: the context of its errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The resource, such as "the queue deadletters".
    pub(crate) subject: String,
    pub(crate) host: String,
    /// The setting with the connection.
    pub(crate) setting: String,
    /// The role that an identity needs.
    pub(crate) role: &'static str,
    pub(crate) credential: CredentialKind,
}

/// How a client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    Key,
    Signature,
    Identity,
}

impl From<StorageError> for QueueError {
    fn from(error: StorageError) -> Self {
        let classify = match error.kind {
            StorageErrorKind::Gone => Self::Gone,
            StorageErrorKind::TooLarge { .. } | StorageErrorKind::NotText => Self::Rejected,
            _ => Self::Unavailable,
        };
        classify(Arc::new(error))
    }
}

impl Resource {
    pub(crate) fn error(&self, kind: StorageErrorKind) -> StorageError {
        StorageError { resource: self.clone(), kind }
    }

    /// Returns the error of an address that the SDK rejects. The SDK's own error is dropped, since it contains the address,
    /// which may contain a signature.
    pub(crate) fn invalid_address(&self) -> ConfigError {
        ConfigError::Connection {
            setting: self.setting.clone(),
            problem: "has an address that is not one of a storage service".into(),
        }
    }

    /// Translates an error of the SDK. Only the root cause's message is kept: the outer ones contain addresses, which may
    /// contain signatures, and the service's response.
    pub(crate) fn translate(&self, error: &azure_core::Error) -> StorageError {
        self.error(match error.kind() {
            ErrorKind::HttpResponse { status, error_code, .. } => {
                self.classify_response(u16::from(*status), error_code.as_deref().unwrap_or_default())
            }
            ErrorKind::Connection | ErrorKind::Io if is_timeout(error) => StorageErrorKind::Timeout,
            ErrorKind::Connection | ErrorKind::Io => StorageErrorKind::Unreachable(root_cause(error)),
            ErrorKind::Credential => StorageErrorKind::NoToken(root_cause(error)),
            _ => StorageErrorKind::InvalidResponse(root_cause(error)),
        })
    }

    fn classify_response(&self, status: u16, code: &str) -> StorageErrorKind {
        let code = if is_error_code(code) { code } else { "" };
        let details = if code.is_empty() { format!("status {status}") } else { format!("status {status}, {code}") };
        match (status, code) {
            (_, "KeyBasedAuthenticationNotPermitted") => StorageErrorKind::KeysDisabled,
            (401 | 403, code) => match self.credential {
                CredentialKind::Key => StorageErrorKind::WrongKey(details),
                CredentialKind::Signature => StorageErrorKind::InvalidSignature(details),
                // This code stands for a network rule, and in a closed account also for a missing role.
                CredentialKind::Identity if code == "AuthorizationFailure" => StorageErrorKind::AccessDenied(details),
                CredentialKind::Identity => StorageErrorKind::MissingRole { role: self.role, code: details },
            },
            (_, "MessageNotFound" | "PopReceiptMismatch") => StorageErrorKind::Gone,
            (404, "QueueNotFound") => StorageErrorKind::MissingQueue,
            (404, _) => StorageErrorKind::Missing,
            (_, "InvalidResourceName" | "OutOfRangeInput") => StorageErrorKind::InvalidName,
            (_, "ContainerBeingDeleted" | "QueueBeingDeleted") | (408 | 429 | 500.., _) => {
                StorageErrorKind::Busy(details)
            }
            _ => StorageErrorKind::Rejected(details),
        }
    }
}

/// Returns true if a text can be an error code of the service. Another server may send any text, such as the address with its
/// signature.
fn is_error_code(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_timeout(error: &azure_core::Error) -> bool {
    let mut errors = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    errors.any(|error| error.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Service;

    fn error(service: Service, credential: CredentialKind, status: u16, code: &str) -> StorageError {
        let [subject, host, setting] = ["the queue q", "drones.queue.core.windows.net", "S"].map(str::to_owned);
        let resource = Resource { subject, host, setting, role: service.role(), credential };
        resource.error(resource.classify_response(status, code))
    }

    #[test]
    fn a_storage_error_contains_its_cause_and_the_setting() {
        for (service, credential, status, code, words) in [
            (Service::Queue, CredentialKind::Key, 403, "AuthenticationFailed", "the account key was rejected"),
            (
                Service::Queue,
                CredentialKind::Key,
                403,
                "KeyBasedAuthenticationNotPermitted",
                "connect with an identity",
            ),
            (
                Service::Queue,
                CredentialKind::Identity,
                403,
                "AuthorizationPermissionMismatch",
                "Storage Queue Data Contributor",
            ),
            (
                Service::Blob,
                CredentialKind::Identity,
                403,
                "AuthorizationPermissionMismatch",
                "Storage Blob Data Contributor",
            ),
            (Service::Blob, CredentialKind::Identity, 403, "AuthorizationFailure", "network rules"),
            (Service::Blob, CredentialKind::Signature, 403, "AuthenticationFailed", "shared access signature"),
            (
                Service::Queue,
                CredentialKind::Key,
                404,
                "QueueNotFound",
                "the host creates it with the first dead letter",
            ),
            (Service::Queue, CredentialKind::Key, 404, "", "it does not exist; create it"),
            (Service::Queue, CredentialKind::Key, 404, "MessageNotFound", "no longer exists"),
            (Service::Queue, CredentialKind::Key, 400, "PopReceiptMismatch", "no longer exists"),
            (Service::Queue, CredentialKind::Key, 400, "InvalidResourceName", "the name is invalid"),
            (
                Service::Queue,
                CredentialKind::Key,
                400,
                "InvalidXmlDocument",
                "rejected the request (status 400, InvalidXmlDocument)",
            ),
            (Service::Queue, CredentialKind::Key, 418, "", "rejected the request (status 418)"),
        ] {
            let error = error(service, credential, status, code);
            let text = error.to_string();
            assert!(text.starts_with("the queue q at drones.queue.core.windows.net: "), "{text}");
            assert!(text.contains(words) && text.ends_with("(setting `S`)"), "{words:?} is not in: {text}");
        }
    }

    /// A server or proxy that repeats the address would show the signature in it.
    #[test]
    fn an_error_code_that_the_service_does_not_have_is_not_repeated() {
        for code in ["https://q?sig=c2VjcmV0", "sig c2VjcmV0", &"c2VjcmV0".repeat(9)] {
            for status in [400, 403, 500] {
                let text = error(Service::Queue, CredentialKind::Signature, status, code).to_string();
                assert!(text.contains(&format!("status {status}")) && !text.contains("c2VjcmV0"), "{text}");
            }
        }
        let longest = "a".repeat(64);
        assert!(error(Service::Queue, CredentialKind::Key, 400, &longest).to_string().contains(&longest));
    }

    #[test]
    fn throttling_and_temporary_failures_are_busy() {
        let responses = [(503, "ServerBusy"), (500, "InternalError"), (429, ""), (408, ""), (409, "QueueBeingDeleted")];
        for (status, code) in responses {
            let error = error(Service::Queue, CredentialKind::Key, status, code);
            assert!(matches!(error.kind, StorageErrorKind::Busy(_)), "{error}");
            assert!(error.to_string().contains(&status.to_string()), "{error}");
        }
    }
}
