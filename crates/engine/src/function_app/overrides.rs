//! App settings that override host.json.

use serde_json::{Map, Value};

use super::HostJson;
use crate::{
    settings::{ConfigError, Settings},
    timespan,
};

/// Applies the app settings that override host.json, `AzureFunctionsJobHost__` and the path in it, as far as this product
/// uses them.
///
/// # Errors
///
/// Returns a [`ConfigError`] if a value is invalid.
pub fn apply_overrides(settings: &Settings, host: &mut HostJson) -> Result<(), ConfigError> {
    host.function_timeout = settings.parse(
        "AzureFunctionsJobHost__functionTimeout",
        host.function_timeout,
        "a duration such as 00:05:00, or -1",
        |value| if value == "-1" { Some(None) } else { timespan::parse(value).map(Some) },
    )?;
    let event_hubs = &mut host.extensions.event_hubs;
    event_hubs.max_event_batch_size = settings.parse(
        "AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize",
        event_hubs.max_event_batch_size,
        "an integer of at least 1",
        parse_size,
    )?;
    event_hubs.min_event_batch_size = settings.parse(
        "AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize",
        event_hubs.min_event_batch_size,
        "an integer of at least 1",
        parse_size,
    )?;
    event_hubs.max_wait_time = settings.parse(
        "AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime",
        event_hubs.max_wait_time,
        "a duration such as 00:00:02",
        timespan::parse,
    )?;
    let http = &mut host.extensions.http;
    http.route_prefix = settings.parse(
        "AzureFunctionsJobHost__extensions__http__routePrefix",
        std::mem::take(&mut http.route_prefix),
        "the beginning of a path",
        |value| Some(value.to_owned()),
    )?;
    Ok(())
}

/// Returns an object of `host.json` with the app settings that override its members; their names begin with this prefix.
pub(super) fn overridden(mut object: Map<String, Value>, prefix: &str, settings: &Settings) -> Map<String, Value> {
    for (name, value) in settings.after_prefix(prefix) {
        object.retain(|member, _| !member.eq_ignore_ascii_case(name));
        object.insert(name.to_owned(), value.into());
    }
    object
}

fn parse_size(value: &str) -> Option<usize> {
    value.parse().ok().filter(|number| *number >= 1)
}
