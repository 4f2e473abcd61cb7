//! Counts of devices.

use std::collections::BTreeMap;

use devicestate_engine::store::{Filter, RequestCharge, Selection};
use serde_json::Value;

use crate::{
    Problem, ReadApi,
    model::{CountsByValue, HeardCounts, Summary, ValueCount},
    query::Parameters,
    response::Content,
    selection::{self, HEARD},
};

/// The parameters of the request.
pub(crate) const PARAMETERS: [&str; 4] = ["silent", "by", "prefix", "where"];

const SILENT_SINCE: &str = "SilentSince";

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Limits the documents that are read to count values.
const MAX_DOCUMENTS: usize = 10_000;
const PAGE_DOCUMENTS: usize = 1_000;

/// Limits the values that are counted one by one.
const MAX_VALUES: usize = 100;

/// The longest text that is counted as a value of its own, in bytes.
const MAX_TEXT_BYTES: usize = 200;

/// Counts documents of one store.
struct Counter<'a> {
    api: &'a ReadApi,
    /// What is counted.
    filters: Vec<Filter>,
    charge: &'a RequestCharge,
}

impl ReadApi {
    /// Returns the counts of the devices that the parameters select.
    pub(crate) async fn summary(&self, parameters: &Parameters, charge: &RequestCharge) -> Result<Content, Problem> {
        let silent_ms = selection::silent_ms(parameters)?;
        let by = parameters.parsed("by", "the name of a reading", |by| (!by.is_empty()).then(|| by.to_owned()))?;
        let filters = selection::of_content(parameters, &self.indexed)?;
        selection::check(&self.indexed, HEARD)?;
        by.iter().try_for_each(|field| selection::check(&self.indexed, field))?;
        let now_ms = self.clock.now_ms();
        let counter = Counter { api: self, filters, charge };
        let heard_within = async |ms| counter.count(Some(Filter::HeardSince(now_ms - ms))).await;
        let devices = counter.count(None).await?;
        let heard = HeardCounts {
            last_minute: heard_within(MINUTE_MS).await?,
            last_hour: heard_within(HOUR_MS).await?,
            last_day: heard_within(DAY_MS).await?,
        };
        let silent = match silent_ms {
            Some(silent_ms) => Some(counter.count(Some(Filter::HeardUntil(now_ms - silent_ms))).await?),
            None if !self.indexed.has(SILENT_SINCE) => None,
            None => Some(counter.count(Some(Filter::IsMarkedSilent)).await?).filter(|silent| *silent > 0),
        };
        let by = match by {
            Some(field) => Some(counter.count_values(field).await?),
            None => None,
        };
        Ok(Content::untagged(&Summary { devices, heard, silent, by }))
    }
}

impl Counter<'_> {
    fn filter(&self, condition: Option<Filter>) -> Filter {
        Filter::All(self.filters.iter().cloned().chain(condition).collect())
    }

    async fn count(&self, condition: Option<Filter>) -> Result<u64, Problem> {
        let count = self.api.store.count(&self.filter(condition), self.charge).await;
        count.map_err(|error| Problem::of_store(&error, None))
    }

    /// Counts the devices by the values of a reading. A store cannot be asked for that, so the documents are read.
    async fn count_values(&self, field: String) -> Result<CountsByValue, Problem> {
        let filter = self.filter(Some(Filter::Exists(field.clone())));
        let (mut counts, mut others): (BTreeMap<String, u64>, u64) = (BTreeMap::new(), 0);
        let (mut after, mut read) = (None::<String>, 0);
        loop {
            let selection = Selection { filter: &filter, after: after.as_deref(), limit: PAGE_DOCUMENTS };
            let page =
                self.api.store.list(selection, self.charge).await.map_err(|error| Problem::of_store(&error, None))?;
            for value in page.documents.iter().filter_map(|document| document.get(&field)) {
                match counted_value(value) {
                    Some(value) => *counts.entry(value).or_default() += 1,
                    None => others += 1,
                }
            }
            let documents = page.documents.len() + page.invalid.len();
            read += documents;
            if read > MAX_DOCUMENTS {
                return Err(Problem::too_many_documents(&field, MAX_DOCUMENTS));
            }
            // A store that does not advance would be read forever.
            if (documents < PAGE_DOCUMENTS && !page.is_partial) || page.last_id <= after {
                break;
            }
            after = page.last_id;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        // Stable: values that are equally frequent stay in their order.
        counts.sort_by_key(|(_, devices)| std::cmp::Reverse(*devices));
        others += counts.iter().skip(MAX_VALUES).map(|(_, devices)| devices).sum::<u64>();
        counts.truncate(MAX_VALUES);
        let values = counts.into_iter().map(|(value, devices)| ValueCount {
            value: serde_json::from_str(&value).unwrap_or(Value::String(value)),
            devices,
        });
        Ok(CountsByValue { field, values: values.collect(), others })
    }
}

/// Returns the JSON of a value that is counted on its own.
fn counted_value(value: &Value) -> Option<String> {
    let is_counted = match value {
        Value::String(text) => text.len() <= MAX_TEXT_BYTES,
        Value::Number(_) | Value::Bool(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    is_counted.then(|| value.to_string())
}
