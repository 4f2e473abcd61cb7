//! `devices list`.

use std::{collections::BTreeSet, sync::Arc};

use clap::{Args, ValueEnum};
use devicestate_engine::{
    clock::{Clock as _, System},
    device_state::{Document, device_id},
    store::{Page, Pages, StateStore},
    text::iso8601,
};
use devicestate_terminal::{
    CommandError, CommandOutcome, JsonItems, Output, OutputOption, Table, parse_duration_ms, print, print_message,
};

use super::cell_text;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate devices list --state state.db
  devicestate devices list --silent 15m --sort heard
  devicestate devices list --prefix pump- --limit 20 -o jsonl

A device was last heard when its newest event was enqueued, whatever that event says. An event that \
changes no reading is noted only every HeardEvery (a setting, by default five minutes).

Docs: docs/reference/state-document.md")]
pub(super) struct Options {
    /// Maximum number of devices
    #[arg(long, value_name = "N", help_heading = "Selection")]
    limit: Option<usize>,
    /// Only devices whose id begins with this text
    #[arg(long, value_name = "TEXT", help_heading = "Selection")]
    prefix: Option<String>,
    /// Only devices that were not heard for this long (90s, 15m, 2h, 7d)
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Selection")]
    silent: Option<i64>,
    /// Order: by device id, or by when the device was last heard, longest ago first; that reads all documents before it prints
    #[arg(long, value_enum, value_name = "ORDER", default_value = "device", help_heading = "Selection")]
    sort: Order,
    #[command(flatten)]
    output: OutputOption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    Device,
    Heard,
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration_ms(text).ok_or_else(|| "it must be a duration such as 90s, 15m, 2h or 7d".into())
}

impl Options {
    pub(super) async fn run(self, store: &Arc<dyn StateStore>) -> Result<(), CommandError> {
        let now_ms = System.now_ms();
        let mut selected = Selected::new(&**store, &self, now_ms);
        let output = self.output.output;
        if output == Output::Table || self.sort == Order::Heard {
            let mut documents = Vec::new();
            while let Some(page) = selected.next().await? {
                documents.extend(page);
                if self.sort == Order::Heard {
                    documents.sort_by_key(heard_ms);
                    documents.truncate(self.limit.unwrap_or(usize::MAX));
                }
            }
            if output == Output::Table {
                return print(documents_table(&documents, Some(now_ms)));
            }
            let mut items = JsonItems::new(output, COMMAND);
            documents.iter().try_for_each(|document| items.item(document))?;
            return items.end(CommandOutcome::Succeeded);
        }
        // Page by page: there may be more documents than memory.
        let mut items = JsonItems::new(output, COMMAND);
        loop {
            match selected.next().await {
                Ok(Some(page)) => page.iter().try_for_each(|document| items.item(document))?,
                Ok(None) => return items.end(CommandOutcome::Succeeded),
                Err(error) if items.has_printed() => {
                    items.end(CommandOutcome::Failed)?;
                    return Err(CommandError::failed(error.into_message()));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

const COMMAND: &str = "devices list";

/// The selected documents of a store, page by page, in the order of the store.
struct Selected<'a> {
    pages: Pages<'a>,
    prefix: &'a str,
    /// Only devices that were last heard at this time or before.
    heard_until_ms: Option<i64>,
    remaining: usize,
}

impl<'a> Selected<'a> {
    fn new(store: &'a dyn StateStore, options: &'a Options, now_ms: i64) -> Self {
        let limit = options.limit.unwrap_or(usize::MAX);
        let prefix = options.prefix.as_deref().unwrap_or_default();
        let heard_until_ms = options.silent.map(|silent_ms| now_ms - silent_ms);
        let is_complete = prefix.is_empty() && heard_until_ms.is_none() && options.sort == Order::Device;
        Self {
            pages: Pages::new(store, if is_complete { limit } else { usize::MAX }),
            prefix,
            heard_until_ms,
            remaining: if options.sort == Order::Device { limit } else { usize::MAX },
        }
    }

    /// Returns the selected documents of the next page; `None` after the last one.
    async fn next(&mut self) -> Result<Option<Vec<Document>>, CommandError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let Some(Page { mut documents, invalid, .. }) = self.pages.next().await.map_err(CommandError::not_started)?
        else {
            return Ok(None);
        };
        for reason in invalid {
            print_message(format_args!("devicestate: warning: {reason}; it is not in the list"));
        }
        documents.retain(|document| self.is_selected(document));
        documents.truncate(self.remaining);
        self.remaining -= documents.len();
        Ok(Some(documents))
    }

    fn is_selected(&self, document: &Document) -> bool {
        let is_silent = |until_ms| heard_ms(document).is_none_or(|heard_ms| heard_ms <= until_ms);
        device_id(&document.id).starts_with(self.prefix) && self.heard_until_ms.is_none_or(is_silent)
    }
}

/// Returns when the device was last heard, in milliseconds since 1970. A document of an earlier version of this program does not
/// say so: then it is the time of the newest reading, if there is one.
pub(in crate::cli) fn heard_ms(document: &Document) -> Option<i64> {
    document.heard().or_else(|| document.newest_version()).map(|version| version.time_ms)
}

/// Returns documents as a table with a column for each reading, and one for how long ago the device was heard.
pub(in crate::cli) fn documents_table(documents: &[Document], now_ms: Option<i64>) -> Table {
    let names: BTreeSet<&str> = documents.iter().flat_map(Document::readings).map(|(name, _)| name).collect();
    let age_heading = now_ms.map(|_| "AGE");
    let headings = ["DEVICE", "NEWEST EVENT (UTC)"].into_iter().chain(age_heading);
    let mut table = Table::new(headings.chain(names.iter().copied()));
    for document in documents {
        let heard_ms = heard_ms(document);
        let age = now_ms.map(|now_ms| heard_ms.map(|heard_ms| age(now_ms - heard_ms)).unwrap_or_default());
        let values = names.iter().map(|name| document.get(name).map(cell_text).unwrap_or_default());
        let device = [device_id(&document.id).into_owned(), heard_ms.map(iso8601).unwrap_or_default()];
        table.row(device.into_iter().chain(age).chain(values));
    }
    table
}

/// Returns an age such as `90s`, `15m`, `2h` or `7d`: the largest unit of which there are two.
pub(super) fn age(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1_000;
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    match units.into_iter().find(|(_, length)| seconds >= 2 * length) {
        Some((unit, length)) => format!("{}{unit}", seconds / length),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_age_has_the_largest_unit_of_which_there_are_two() {
        for (seconds, expected) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_799, "47h"), (172_800, "2d")]
        {
            assert_eq!(age(seconds * 1_000 + 999), expected);
        }
        assert_eq!(age(-5_000), "0s", "the clock of the service is ahead");
    }

    #[test]
    fn a_document_without_heard_was_heard_at_the_time_of_its_newest_reading() {
        let document = |json| serde_json::from_value::<Document>(json).expect("a document");
        let newest = json!({ "id": "a", "x": 1, "y": 2, "Versions": { "x": [1_000, 1, 2], "y": [2_000, 2, 2] } });
        let none = json!({ "id": "a", "x": 1, "Versions": {} });
        assert_eq!([newest, none].map(|json| heard_ms(&document(json))), [Some(2_000), None]);
    }
}
