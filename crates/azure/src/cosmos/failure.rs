//! What a failure of Cosmos DB means for the batch, and what a person can do about it.

use std::{error::Error, time::Duration};

use azure_data_cosmos::CosmosError;
use devicestate_engine::store::StoreError;

use super::config::CosmosConfig;
use crate::access::Access;

/// Whether this says that there is no such document. A missing container says so, too, with a sub-status of its own.
pub(super) fn is_absent(error: &CosmosError) -> bool {
    codes(error) == (404, 0)
}

/// Whether this says that the account has not, or not yet, what this client has seen of it.
pub(super) fn is_state_lost(error: &CosmosError) -> bool {
    matches!(codes(error), (404, 1002) | (503, STATE_LOST))
}

/// Sorts a failure by what is to be done about it.
///
/// The codes are the service's: <https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb>, with
/// the sub-statuses that its clients know. Those from 20000 on are the client's own.
pub(super) fn classify(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    let systemic = |advice: &str| StoreError::Systemic(format!("{}: {advice}", what(error, config)));
    match codes(error) {
        // Deleted since it was read, created by someone else, changed by someone else.
        (404, 0) | (409 | 412, _) => StoreError::Conflict,
        (413, _) | (403, 1014) | (400, UNSERIALIZABLE) => StoreError::Rejected(what(error, config)),
        (400, 1001) => systemic("the partition key of the container in the setting CosmosContainer must be /id"),
        (400, _) if error.is_from_wire() => StoreError::BadRequest(what(error, config)),
        (404, 1002) | (403, 3) => transient(error, config),
        (401, _) => systemic(match config.access {
            Access::Key(_) => "the key in the setting CosmosConnection is not the account's, or not any more",
            Access::Identity(_) => {
                "the settings CosmosConnection__credential and CosmosConnection__clientId name no identity that it takes"
            }
        }),
        (403, _) => systemic(
            "the identity needs the role Cosmos DB Built-in Data Contributor, and the account's network rules must let \
             this machine in",
        ),
        (404, _) => missing(error, config),
        (503, _) if is_unresolved(error) => systemic("there is no account under the address in CosmosConnection"),
        (408 | 410 | 429 | 449 | 500.., _) => transient(error, config),
        _ => systemic("see the setting CosmosConnection"),
    }
}

/// Sorts a failure to find the account or the container, where nothing is absent but the container.
pub(super) fn of_connecting(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    match codes(error) {
        (404, _) => missing(error, config),
        _ => match classify(error, config) {
            StoreError::Conflict | StoreError::Rejected(_) | StoreError::BadRequest(_) => {
                StoreError::Systemic(what(error, config))
            }
            failure => failure,
        },
    }
}

/// Sub-statuses of the client's own.
const NAME_NOT_RESOLVED: u16 = 20_012;
const UNSERIALIZABLE: u16 = 20_021;
const STATE_LOST: u16 = 20_310;

fn codes(error: &CosmosError) -> (u16, u16) {
    let status = error.status();
    (status.status_code().into(), status.sub_status().map_or(0, |sub_status| sub_status.value()))
}

fn transient(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    let reason = what(error, config);
    let asked_for = error.response().and_then(|response| response.headers().retry_after_ms);
    match (asked_for, codes(error).0) {
        (None, 429) => StoreError::Throttled { reason, delay: Duration::ZERO },
        (None, _) => StoreError::Transient(reason),
        (Some(delay), _) => StoreError::Throttled { reason, delay: Duration::from_millis(delay) },
    }
}

fn missing(error: &CosmosError, config: &CosmosConfig) -> StoreError {
    let CosmosConfig { database, container, .. } = config;
    StoreError::Systemic(format!(
        "{}: create the container {container:?} of the database {database:?} with the partition key /id, or correct the \
         settings CosmosContainer and CosmosDatabase",
        what(error, config)
    ))
}

/// What happened, in one line.
fn what(error: &CosmosError, config: &CosmosConfig) -> String {
    let host = config.endpoint.host_str().unwrap_or_default();
    if error.is_from_wire() {
        format!("Cosmos DB ({host}) answered {error}")
    } else {
        format!("Cosmos DB ({host}) could not be asked: {}", whole(error))
    }
}

/// A failure of the client's own, in one line with its first cause.
fn whole(error: &CosmosError) -> String {
    let cause = causes(error).last().map_or(String::new(), |cause| format!(": {cause}"));
    format!("{error}{cause}").replace('\n', "; ")
}

/// What is behind a failure of the client's own, the first cause last.
fn causes(error: &CosmosError) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Whether the account's name could not be resolved. The client has a sub-status for it, but looks for it where the HTTP
/// client does not say it; so this looks for the HTTP client's own words, too.
fn is_unresolved(error: &CosmosError) -> bool {
    codes(error) == (503, NAME_NOT_RESOLVED) || causes(error).any(|cause| cause.to_string() == "dns error")
}

/// A stored document that is none of ours.
pub(super) fn unreadable(id: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Rejected(format!("the stored document {id:?} cannot be read: {error}"))
}

/// A document under another id than the one that was asked for. Writing it would mix two devices.
pub(super) fn another(id: &str, found: &str) -> StoreError {
    StoreError::Rejected(format!("the document {id:?} was asked for, and {found:?} came"))
}

/// An answer that is no JSON.
pub(super) fn damaged(id: &str, error: &CosmosError) -> StoreError {
    StoreError::Transient(format!("what Cosmos DB answered for the document {id:?} cannot be read: {}", whole(error)))
}

/// The environment lacks what the identity needs.
pub(super) fn no_credential(error: &azure_core::Error) -> StoreError {
    StoreError::Systemic(format!("the identity of CosmosConnection__credential cannot be used here: {error}"))
}
