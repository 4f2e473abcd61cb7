//! One device: each reading with its version and its latest values, and the dead letters.

use devicestate_engine::{
    device_state::{Document, device_id, document_id},
    store::{RequestCharge, StoreError},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    fleet::History,
    letters::{Letter, Letters},
    poller::in_time,
    shared::Shared,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    id: &'a str,
    heard_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_since_ms: Option<i64>,
    readings: Vec<Reading<'a>>,
    /// The oldest dead letters.
    dead_letters: Vec<Letter<'a>>,
    dead_letter_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reading<'a> {
    name: &'a str,
    value: &'a Value,
    /// Without a version, if another program wrote the reading.
    time_ms: Option<i64>,
    sequence_number: Option<i64>,
    source: Option<u64>,
    partition: Option<&'a str>,
    history: Option<&'a History>,
}

/// Returns a device as JSON; `None` if it has neither a document nor a dead letter.
///
/// # Errors
///
/// Returns the error of the store, if the device is not in memory.
pub(crate) async fn detail(shared: &Shared, device: &str) -> Result<Option<String>, StoreError> {
    let id = document_id(device);
    let letters = shared.letters();
    if let Some(held) = shared.fleet().get(&id) {
        let history = |name: &str| held.history(name);
        return Ok(Some(to_json(shared, &held.document, history, &letters)));
    }
    let stored = in_time(shared.options.store.read(&id, &RequestCharge::default())).await?;
    let document = match stored {
        Some(stored) => stored.document,
        // Its events cannot be applied: the dead letters say why it has no document.
        None if letters.of_device(device).1 > 0 => Document::new(id.into_owned()),
        None => return Ok(None),
    };
    Ok(Some(to_json(shared, &document, |_| None, &letters)))
}

fn to_json<'a>(
    shared: &Shared,
    document: &Document,
    history: impl Fn(&str) -> Option<&'a History>,
    letters: &Letters,
) -> String {
    let id = device_id(&document.id);
    let readings = document.readings().map(|(name, value)| {
        let version = document.version(name);
        Reading {
            name,
            value,
            time_ms: version.map(|version| version.time_ms),
            sequence_number: version.map(|version| version.sequence_number),
            source: version.map(|version| version.source),
            partition: version.and_then(|version| shared.partition(version.source)),
            history: history(name),
        }
    });
    let (dead_letters, dead_letter_count) = letters.of_device(&id);
    let detail = Detail {
        id: &id,
        heard_ms: document.heard().map(|heard| heard.time_ms),
        silent_since_ms: document.silent_since(),
        readings: readings.collect(),
        dead_letters,
        dead_letter_count,
    };
    serde_json::to_string(&detail).expect("texts and numbers are always JSON")
}
