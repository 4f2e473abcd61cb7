//! Classifies failures of Cosmos DB. The message of a systemic failure contains what an operator can do.

use std::{error::Error, time::Duration};

use azure_data_cosmos::CosmosError;
use devicestate_engine::store::StoreError;

use super::config::CosmosConfig;
use crate::{
    access::Access,
    error_cause::{causes, root_cause},
};

/// Returns whether the document is missing. A missing container has the same status with another sub-status.
pub(super) fn is_missing_document(error: &CosmosError) -> bool {
    codes(error) == (404, 0)
}

/// Returns whether the account lacks, permanently or not yet, a state that this client has seen.
pub(super) fn is_state_lost(error: &CosmosError) -> bool {
    matches!(codes(error), (404, 1002) | (503, STATE_LOST))
}

/// Classifies the failure of an operation.
///
/// The codes are the service's: <https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb>, with
/// the sub-statuses that its clients use. Those from 20000 on are the client's own.
pub(super) fn classify(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    let systemic = |advice: &str| StoreError::Systemic(format!("{}: {advice}", describe(error, config)));
    // The answer may concern this document alone: the gateway answers 401 to requests for an id that it reads differently.
    // A failure before the answer, such as a missing token, concerns all documents.
    let refused = |advice: &str| {
        if !error.is_from_wire() {
            return systemic(advice);
        }
        StoreError::Refused(format!("{}: if other documents are refused, too, {advice}", describe(error, config)))
    };
    match codes(error) {
        // Another writer deleted, created or changed the document since it was read.
        (404, 0) | (409 | 412, _) => StoreError::Conflict,
        (413, _) | (403, 1014) | (400, UNSERIALIZABLE) => StoreError::Rejected(describe(error, config)),
        (400, 1001) => systemic(
            "the container in the setting `CosmosContainer` must have the partition key `/id`; if it has, the endpoint is an \
             emulator that cannot read the encoding of the documents: use a newer emulator",
        ),
        (400, _) if error.is_from_wire() => StoreError::BadRequest(describe(error, config)),
        (404, 1002) | (403, 3) => transient_failure(error, config),
        (401, _) => refused(match config.access {
            Access::Key(_) => {
                "the account rejected the key in the setting `CosmosConnection`; set one of its current keys"
            }
            Access::Identity(_) => {
                "the account rejected the identity; correct the settings `CosmosConnection__credential` and \
                 `CosmosConnection__clientId`"
            }
        }),
        (403, _) => refused(
            "the identity needs the role Cosmos DB Built-in Data Contributor, and the account's network rules must allow \
             this machine",
        ),
        (404, _) => missing_container(error, config),
        (503, _) if is_host_unresolved(error) => {
            systemic("no account has the URL in the setting `CosmosConnection`; correct it")
        }
        (408 | 410 | 429 | 449 | 500.., _) => transient_failure(error, config),
        _ => refused("check the setting `CosmosConnection`"),
    }
}

/// Classifies a failure to connect to the account or the container. A 404 then means a missing container.
pub(super) fn classify_connect_error(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    match codes(error) {
        (404, _) => missing_container(error, config),
        _ => match classify(error, config) {
            StoreError::Conflict | StoreError::Rejected(_) | StoreError::BadRequest(_) => {
                StoreError::Systemic(describe(error, config))
            }
            StoreError::Refused(reason) => StoreError::Systemic(reason),
            failure => failure,
        },
    }
}

// Sub-statuses of the client itself.
const NAME_NOT_RESOLVED: u16 = 20_012;
const UNSERIALIZABLE: u16 = 20_021;
const STATE_LOST: u16 = 20_310;

fn codes(error: &CosmosError) -> (u16, u16) {
    let status = error.status();
    (status.status_code().into(), status.sub_status().map_or(0, |sub_status| sub_status.value()))
}

fn transient_failure(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    let reason = describe(error, config);
    let retry_after_ms = error.response().and_then(|response| response.headers().retry_after_ms);
    match (retry_after_ms, codes(error).0) {
        (None, 429) => StoreError::Throttled { reason, delay: Duration::ZERO },
        (None, _) => StoreError::Transient(reason),
        (Some(delay), _) => StoreError::Throttled { reason, delay: Duration::from_millis(delay) },
    }
}

fn missing_container(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    let CosmosConfig { database, container, .. } = config;
    StoreError::Systemic(format!(
        "{}: create the container {container:?} in the database {database:?} with the partition key `/id`, or correct the \
         settings `CosmosContainer` and `CosmosDatabase`",
        describe(error, config)
    ))
}

/// Describes a failure in one line.
fn describe(error: &CosmosError, config: &CosmosConfig) -> String {
    let host = config.endpoint.host_str().unwrap_or_default();
    if error.is_from_wire() {
        format!("Cosmos DB ({host}) answered {error}")
    } else {
        format!("the request to Cosmos DB ({host}) failed: {}", with_root_cause(error))
    }
}

/// Returns the message of a failure of the client itself, in one line with its root cause.
fn with_root_cause(error: &CosmosError) -> String {
    let cause = error.source().map_or(String::new(), |cause| format!(": {}", root_cause(cause)));
    format!("{error}{cause}").replace('\n', "; ")
}

/// Returns whether the account's host name could not be resolved. The client has a sub-status for it, but does not detect it
/// with this HTTP client; so the HTTP client's own message is checked too.
fn is_host_unresolved(error: &CosmosError) -> bool {
    codes(error) == (503, NAME_NOT_RESOLVED) || causes(error).any(|cause| cause.to_string() == "dns error")
}

/// Returns the error of a stored document that does not have the expected form.
pub(super) fn invalid_document(id: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Rejected(format!("the stored document {id:?} is invalid: {error}"))
}

/// Returns the error of a response with the document of another id. Writing it would mix two devices.
pub(super) fn wrong_document(id: &str, found: &str) -> StoreError {
    StoreError::Rejected(format!("the response to a read of the document {id:?} has the document {found:?}"))
}

/// Returns the error of a response that is not JSON.
pub(super) fn invalid_response(id: &str, error: &CosmosError) -> StoreError {
    StoreError::Transient(format!(
        "the response of Cosmos DB for the document {id:?} is not JSON: {}",
        with_root_cause(error)
    ))
}

/// Returns the error of an identity for which the environment lacks something.
pub(super) fn credential_unavailable(error: &azure_core::Error) -> StoreError {
    StoreError::Systemic(format!(
        "the identity in the setting `CosmosConnection__credential` cannot be used on this machine: {error}"
    ))
}
