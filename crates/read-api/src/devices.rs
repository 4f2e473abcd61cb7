//! The list of devices.

use devicestate_engine::store::{Filter, RequestCharge, Selection};

use crate::{
    Problem, ReadApi,
    continuation::Continuation,
    model::{Device, DeviceList},
    query::Parameters,
    response::{Content, to_json},
    selection,
};

/// The parameters of the request.
pub(crate) const PARAMETERS: [&str; 9] =
    ["silent", "heardSince", "prefix", "id", "where", "select", "limit", "continuation", "versions"];

/// The parameters to which a continuation token is bound. The others may change from page to page.
const BOUND_TO_TOKEN: [&str; 4] = ["silent", "heardSince", "prefix", "where"];

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Limits the size of a page. The page then has fewer devices, and at least one.
const MAX_PAGE_BYTES: usize = 8 << 20;

/// Limits the invalid documents that a page describes.
const MAX_INVALID: usize = 10;

impl ReadApi {
    /// Returns a page of the devices that the parameters select, in the order of the ids of their documents.
    pub(crate) async fn devices(&self, parameters: &Parameters, charge: &RequestCharge) -> Result<Content, Problem> {
        let parts = selection::parts(parameters)?;
        let expected = format!("a number from 1 to {MAX_LIMIT}");
        let limit = parameters.parsed("limit", &expected, |text| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|limit| is_number && (1..=MAX_LIMIT).contains(limit))
        })?;
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        let query = bound_query(parameters);
        let now_ms = self.clock.now_ms();
        let previous =
            parameters.get("continuation").map(|token| Continuation::from_token(token, &query)).transpose()?;
        // The times of `silent` and `heardSince` stay the same from page to page.
        let as_of_ms = previous.as_ref().map_or(now_ms, |previous| previous.as_of_ms);
        let after = previous.map(|previous| previous.after);
        let mut filters = selection::of_content(parameters, &self.indexed)?;
        filters.extend(selection::of_times(parameters, &self.indexed, as_of_ms)?);
        let selection = Selection { filter: &Filter::All(filters), after: after.as_deref(), limit };
        let page = self.store.list(selection, charge).await.map_err(|error| Problem::of_store(&error, None))?;

        let has_next = page.is_partial || page.documents.len() + page.invalid.len() >= limit;
        let mut next = page.last_id.clone().filter(|_| has_next);
        let (mut devices, mut bytes) = (Vec::with_capacity(page.documents.len()), 0);
        for (index, document) in page.documents.iter().enumerate() {
            let device = Device::new(document, &parts, now_ms);
            bytes += to_json(&device).len();
            if bytes > MAX_PAGE_BYTES && index > 0 {
                next = Some(page.documents[index - 1].id.clone());
                break;
            }
            devices.push(device);
        }
        let continuation = next.map(|after| Continuation { as_of_ms, after }.to_token(&query));
        let invalid = page.invalid.into_iter().take(MAX_INVALID).collect();
        Ok(Content::untagged(&DeviceList { devices, continuation, invalid }))
    }
}

/// Returns what a continuation token is bound to.
fn bound_query(parameters: &Parameters) -> String {
    let values = BOUND_TO_TOKEN.map(|name| (name, parameters.get(name)));
    format!("{values:?}")
}
