//! The OpenAPI 3.1 description of the API, generated from the code.

use utoipa::{OpenApi, ToResponse, ToSchema};

use crate::{
    Problem,
    model::{Device, DeviceList, Summary},
};

/// Returns the description as JSON with a newline at its end.
#[must_use]
pub fn document() -> String {
    let mut text = Description::openapi().to_pretty_json().expect("the description is JSON");
    text.push('\n');
    text
}

/// `/devices` returns one device if the request has `id`.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum ListOrDevice {
    List(DeviceList),
    Device(Device),
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "devicestate read API",
        version = "1",
        description = "The latest state of each device. docs/reference/api.md describes the filter language, the limits and \
                       the cost. Each answer has its request units in the header `x-ms-request-charge`."
    ),
    servers((url = "/api")),
    paths(devices, device, summary),
    components(schemas(Problem), responses(
        BadRequest,
        UnknownDevice,
        Throttled,
        InvalidDocument,
        Unavailable,
    ))
)]
struct Description;

macro_rules! problem_response {
    ($name:ident, $description:literal) => {
        #[derive(ToResponse)]
        #[response(description = $description, content_type = "application/problem+json")]
        #[expect(dead_code, reason = "only its description is used")]
        struct $name(Problem);
    };
}

problem_response!(
    BadRequest,
    "The id, a parameter, the filter or the continuation token is invalid, or a field is not indexed"
);
problem_response!(UnknownDevice, "There is no such device");
problem_response!(Throttled, "The store limits the load: the header `Retry-After` has the seconds to wait");
problem_response!(InvalidDocument, "The document of the device is invalid, or the handler failed");
problem_response!(Unavailable, "The store cannot be reached, refuses requests or does not answer in time");

/// List devices
///
/// The devices that every given parameter selects, in the order of the ids of their documents. With `id`, one device.
#[utoipa::path(
    get,
    path = "/devices",
    params(
        ("silent" = Option<String>, Query, pattern = "^[0-9]{1,5}[smhd]$", example = "15m", description = "Only devices that were not heard for this long"),
        ("heardSince" = Option<String>, Query, example = "2h", description = "Only devices that were heard since this time (RFC 3339), or this long ago"),
        ("prefix" = Option<String>, Query, description = "Only devices whose id begins with this text"),
        ("where" = Option<String>, Query, max_length = 1000, example = "battery < 0.2 and exists(model)", description = "Only devices whose readings match this filter"),
        ("id" = Option<String>, Query, min_length = 1, description = "This device; only `select` and `versions` go with it"),
        ("select" = Option<String>, Query, min_length = 1, example = "battery,model", description = "The readings to return, separated by commas"),
        ("versions" = Option<bool>, Query, description = "Whether to return the version of each reading"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The most devices of a page; 100 by default"),
        ("continuation" = Option<String>, Query, description = "The token of the previous page"),
        ("If-None-Match" = Option<String>, Header, description = "With `id`: the tag of the state that the caller has"),
    ),
    responses(
        (status = 200, description = "A page of the list; with `id`, the device", body = ListOrDevice, content_type = "application/json"),
        (status = 304, description = "The state has this tag"),
        (status = 400, response = BadRequest),
        (status = 404, response = UnknownDevice),
        (status = 429, response = Throttled),
        (status = 500, response = InvalidDocument),
        (status = 503, response = Unavailable),
    )
)]
#[expect(dead_code, reason = "only its description is used")]
fn devices() {}

/// Read one device
///
/// The id is percent-encoded; `/devices?id=` takes ids that clients change in a path, such as `..`, and the id `summary`.
#[utoipa::path(
    get,
    path = "/devices/{id}",
    params(
        ("id" = String, Path, description = "The id of the device"),
        ("select" = Option<String>, Query, min_length = 1, example = "battery,model", description = "The readings to return, separated by commas"),
        ("versions" = Option<bool>, Query, description = "Whether to return the version of each reading"),
        ("If-None-Match" = Option<String>, Header, description = "The tag of the state that the caller has"),
    ),
    responses(
        (status = 200, description = "The state of the device", body = Device, content_type = "application/json",
            headers(("ETag" = String, description = "The tag of this state"))),
        (status = 304, description = "The state has this tag"),
        (status = 400, response = BadRequest),
        (status = 404, response = UnknownDevice),
        (status = 429, response = Throttled),
        (status = 500, response = InvalidDocument),
        (status = 503, response = Unavailable),
    )
)]
#[expect(dead_code, reason = "only its description is used")]
fn device() {}

/// Count devices
///
/// The devices that `prefix` and `where` select: how many there are, were heard lately, are silent, and have each value of a
/// reading.
#[utoipa::path(
    get,
    path = "/devices/summary",
    params(
        ("silent" = Option<String>, Query, pattern = "^[0-9]{1,5}[smhd]$", example = "15m", description = "Count the devices that were not heard for this long"),
        ("by" = Option<String>, Query, min_length = 1, example = "model", description = "Count the devices by the values of this reading"),
        ("prefix" = Option<String>, Query, description = "Only devices whose id begins with this text"),
        ("where" = Option<String>, Query, max_length = 1000, description = "Only devices whose readings match this filter"),
    ),
    responses(
        (status = 200, description = "The counts", body = Summary, content_type = "application/json"),
        (status = 400, response = BadRequest),
        (status = 429, response = Throttled),
        (status = 500, response = InvalidDocument),
        (status = 503, response = Unavailable),
    )
)]
#[expect(dead_code, reason = "only its description is used")]
fn summary() {}
