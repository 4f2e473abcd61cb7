//! Answers of the gateway before a real account, and of the emulator, that Microsoft's store does not give.

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::{
    account::CollectedRequest,
    authorization,
    operation::{Kind, Operation},
    response::CosmosResponse,
};

/// The first byte of Cosmos DB's binary JSON.
const BINARY_FORMAT: u8 = 0x80;

/// The sub-status of a document whose partition key is not that of the request.
const PARTITION_KEY_MISMATCH: u32 = 1001;

/// Returns the gateway's answer to a request that does not reach the store.
///
/// The tests of Microsoft's own clients expect it for these ids, and only after a creation that succeeds: for instance
/// `TestItemIdEncodingRoutingGW` of `azure-sdk-for-go` and `CosmosItemIdEncodingTest` of `azure-sdk-for-java`. The emulator
/// answers documents in binary JSON with 400 (issue 5240 of `azure-sdk-for-rust`).
pub(crate) fn refusal(operation: &Operation, request: &CollectedRequest) -> Option<CosmosResponse> {
    if request.body.first() == Some(&BINARY_FORMAT) {
        let message = "PartitionKey extracted from document doesn't match the one specified in the header.";
        let response = CosmosResponse::error(StatusCode::BAD_REQUEST, message);
        return Some(response.with_sub_status(PARTITION_KEY_MISMATCH));
    }
    let id = operation.id.as_deref()?;
    let is_in_path = matches!(operation.kind, Kind::Read | Kind::Replace | Kind::Patch | Kind::Delete);
    if !is_in_path || !authorization::is_signed_with_key(&request.headers) {
        return None;
    }
    if id.contains(char::is_control) {
        return Some(CosmosResponse::error(StatusCode::BAD_REQUEST, "The request's path is not valid."));
    }
    // The gateway reads another id from the path than the one that the client has signed.
    let is_decoded = percent_decode_str(id).decode_utf8_lossy() != id;
    let is_other = id.ends_with(' ') || is_decoded || id.contains(['/', '\\', '#']) || !id.is_ascii();
    let message = "The input authorization token can't serve the request.";
    is_other.then(|| CosmosResponse::error(StatusCode::UNAUTHORIZED, message))
}
