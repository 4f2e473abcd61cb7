//! The devices of a store, in memory.
//!
//! Each change of a device has a number, its revision. The devices are kept in the order of their last changes, so a reader needs
//! only the number of the last change that it has seen to get each device that changed since, once and in its newest state. A slow
//! reader costs no memory and misses no device.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    sync::Arc,
};

use devicestate_engine::{
    device_state::{Document, device_id},
    store::{Filter, Written},
};
use serde::{Serialize, Serializer};

/// Limits the devices in memory. Beyond, the devices that did not change for the longest time are left out.
pub(crate) const MAX_DEVICES: usize = 20_000;

/// Limits the JSON text of all devices in memory, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// Limits the values that are kept of one reading.
const MAX_HISTORY: usize = 120;

/// Limits the values that are kept of all readings: with many readings, fewer values are kept of each.
const MAX_VALUES: usize = 2_000_000;

/// The devices of a store, as far as there is room for them.
#[derive(Default)]
pub(crate) struct Fleet {
    devices: HashMap<Arc<str>, Device>,
    /// The ids of the devices, in the order of their last changes.
    by_revision: BTreeMap<u64, Arc<str>>,
    revision: u64,
    removals: u64,
    bytes: usize,
    readings: usize,
    /// Whether the devices were read at least once.
    pub(crate) is_loaded: bool,
    /// How many devices the store has that are not in memory, as they were counted last.
    pub(crate) missing: u64,
    /// Why the store cannot be read at the moment.
    pub(crate) problem: Option<String>,
}

/// A device.
pub(crate) struct Device {
    pub(crate) document: Document,
    /// When the document was written, in milliseconds since 1970, as far as it is known.
    pub(crate) written_ms: i64,
    /// Whether `written_ms` is the time by the clock of the store, which decides which state is newer.
    is_written_known: bool,
    revision: u64,
    bytes: usize,
    histories: HashMap<String, History>,
}

/// The latest numbers of a reading, each with its time in milliseconds since 1970.
pub(crate) type History = VecDeque<(i64, f64)>;

impl Fleet {
    /// Returns the number of the last change.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns how many devices were removed so far.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// Returns the number of devices in memory.
    pub(crate) fn len(&self) -> usize {
        self.devices.len()
    }

    /// Returns whether there is room for more devices.
    pub(crate) fn has_room(&self) -> bool {
        self.devices.len() < MAX_DEVICES && self.bytes < MAX_BYTES / 10 * 9
    }

    /// Returns a device by the id of its document.
    pub(crate) fn get(&self, document_id: &str) -> Option<&Device> {
        self.devices.get(document_id)
    }

    /// Returns the ids of the documents that a filter selects, in their order.
    pub(crate) fn select(&self, filter: &Filter) -> Vec<Arc<str>> {
        let selected = self.devices.iter().filter(|(_, device)| filter.matches(&device.document));
        let mut ids: Vec<_> = selected.map(|(id, _)| Arc::clone(id)).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the devices that changed after a revision, in the order of their last changes, each with its revision.
    pub(crate) fn changed_after(&self, revision: u64) -> impl Iterator<Item = (u64, &Arc<str>, &Device)> {
        let changed = self.by_revision.range(revision + 1..);
        changed.filter_map(|(revision, id)| Some((*revision, id, self.devices.get(id)?)))
    }

    /// Takes over the result of reading the store: why it failed, if it did.
    pub(crate) fn end_read(&mut self, problem: Option<String>) {
        self.is_loaded |= problem.is_none();
        self.problem = problem;
    }

    /// Takes over documents as they were written.
    pub(crate) fn apply_all(&mut self, all: Vec<Written>) {
        for written in all {
            self.apply_written(written);
        }
    }

    /// Takes over a document as it was written.
    pub(crate) fn apply_written(&mut self, written: Written) {
        let Written { stored, written_ms } = written;
        match self.devices.get_mut(&*stored.document.id) {
            Some(held) if held.is_written_known && held.written_ms > written_ms => {}
            Some(held) if held.document == stored.document => {
                (held.written_ms, held.is_written_known) = (written_ms, true);
            }
            _ => self.set(stored.document, written_ms, true),
        }
    }

    /// Takes over a document of a list, which does not say when it was written. When the device was heard is only near to it: a
    /// store may know the times in whole seconds only, and its clock is another one.
    pub(crate) fn apply_listed(&mut self, document: Document) {
        let heard_ms = |document: &Document| document.heard().map_or(0, |heard| heard.time_ms);
        let written_ms = heard_ms(&document);
        match self.devices.get(&*document.id) {
            // A replica may return an older state than the one that was read before.
            Some(held) if held.document == document || heard_ms(&held.document) > written_ms => {}
            Some(held) => {
                let written_ms = written_ms.max(held.written_ms);
                self.set(document, written_ms, false);
            }
            None => self.set(document, written_ms, false),
        }
    }

    /// Removes the devices whose ids are not kept.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        let removed: Vec<_> = self.devices.keys().filter(|id| !is_kept(id)).cloned().collect();
        for id in removed {
            self.remove(&id);
        }
    }

    fn set(&mut self, document: Document, written_ms: i64, is_written_known: bool) {
        let (id, mut histories) = match self.devices.remove_entry(&*document.id) {
            Some((id, held)) => {
                self.by_revision.remove(&held.revision);
                self.bytes -= held.bytes;
                self.readings -= held.histories.len();
                (id, held.histories)
            }
            None => (document.id.as_str().into(), HashMap::new()),
        };
        let limit = (MAX_VALUES / self.readings.max(1)).clamp(2, MAX_HISTORY);
        add_values(&mut histories, &document, written_ms, limit);
        self.revision += 1;
        let (bytes, revision) = (text_bytes(&document), self.revision);
        let device = Device { document, written_ms, is_written_known, revision, bytes, histories };
        self.bytes += device.bytes;
        self.readings += device.histories.len();
        self.by_revision.insert(self.revision, Arc::clone(&id));
        self.devices.insert(id, device);
        while self.devices.len() > MAX_DEVICES || (self.bytes > MAX_BYTES && self.devices.len() > 1) {
            let (_, oldest) = self.by_revision.first_key_value().expect("each device has a revision");
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
            self.missing = self.missing.max(1);
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(device) = self.devices.remove(id) else { return };
        self.by_revision.remove(&device.revision);
        self.bytes -= device.bytes;
        self.readings -= device.histories.len();
        self.removals += 1;
    }
}

/// Adds each number of a document that has a newer version than the last one in its history.
fn add_values(histories: &mut HashMap<String, History>, document: &Document, written_ms: i64, limit: usize) {
    for (name, value) in document.readings() {
        let Some(number) = value.as_f64() else { continue };
        let ms = document.version(name).map_or(written_ms, |version| version.time_ms);
        let Some(history) = histories.get_mut(name) else {
            histories.insert(name.to_owned(), History::from([(ms, number)]));
            continue;
        };
        if history.back().is_some_and(|last| *last == (ms, number)) {
            continue;
        }
        while history.len() >= limit {
            history.pop_front();
        }
        history.push_back((ms, number));
    }
    histories.retain(|name, _| document.get(name).is_some());
}

/// Returns the length of a document's JSON text.
fn text_bytes(document: &Document) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // A document is always JSON; if not, its length does not matter either.
    let _ = serde_json::to_writer(&mut counter, document);
    counter.0
}

impl Device {
    /// Returns the latest numbers of a reading.
    pub(crate) fn history(&self, name: &str) -> Option<&History> {
        self.histories.get(name)
    }
}

/// A device in the events of the page.
impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Row<'a> {
            id: &'a str,
            heard_ms: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            silent_since_ms: Option<i64>,
            written_ms: i64,
            readings: Readings<'a>,
        }
        struct Readings<'a>(&'a Document);
        impl Serialize for Readings<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.readings())
            }
        }
        let document = &self.document;
        let row = Row {
            id: &device_id(&document.id),
            heard_ms: document.heard().map(|heard| heard.time_ms),
            silent_since_ms: document.silent_since(),
            written_ms: self.written_ms,
            readings: Readings(document),
        };
        row.serialize(serializer)
    }
}
