//! The events of one reader: first the devices, then what changes.
//!
//! The next event is made when the connection has room for it, from what there is then. So a slow reader gets fewer events, and
//! the newest state of each device.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::response::sse::Event;
use devicestate_engine::{device_state::device_id, store::Filter};
use futures_util::{Stream, stream::unfold};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    fleet::{Device, Fleet},
    letters::Letters,
    run::RunFigures,
    shared::Shared,
};

/// The time between two looks at what has changed.
const EVERY: Duration = Duration::from_millis(250);

/// The time between two events with figures.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

/// Limits the devices of one event.
const MAX_EVENT_DEVICES: usize = 1_000;

/// Limits the JSON text of the devices of one event, in bytes. There is at least one device.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Returns the events for a reader of the devices that a filter selects.
pub(crate) fn events(
    shared: Arc<Shared>,
    filter: Filter,
    admission: OwnedSemaphorePermit,
) -> impl Stream<Item = Event> {
    unfold(Reader::new(shared, filter, admission), async |mut reader| {
        let frame = reader.next().await?;
        Some((Event::default().event(frame.name).data(frame.data), reader))
    })
}

/// A named event, with its data as JSON.
struct Frame {
    name: &'static str,
    data: String,
}

/// The kinds of events after the devices.
#[derive(Clone, Copy)]
enum Part {
    Problem,
    Changes,
    Figures,
    DeadLetters,
}

struct Reader {
    shared: Arc<Shared>,
    filter: Filter,
    /// The ids of the devices that are still to be sent at first; `None` before the devices are known.
    snapshot: Option<VecDeque<Arc<str>>>,
    /// The ids of the documents that the reader shows.
    shown: HashSet<Arc<str>>,
    /// The number of the last change that was sent.
    revision: u64,
    removals: u64,
    total: u64,
    problem: Option<String>,
    letters: Arc<Letters>,
    figures_at: Instant,
    /// What is still to be looked at.
    parts: VecDeque<Part>,
    ticks: tokio::time::Interval,
    _admission: OwnedSemaphorePermit,
}

/// The data of the event `snapshot`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    now_ms: i64,
    total: u64,
    shown: usize,
    /// Whether the reader forgets what it has.
    first: bool,
    devices: Vec<Box<RawValue>>,
    more: bool,
}

/// The data of the event `changes`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changes {
    now_ms: i64,
    total: u64,
    devices: Vec<Box<RawValue>>,
    removed: Vec<String>,
}

/// The data of the event `figures`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    now_ms: i64,
    #[serde(flatten)]
    run: RunFigures,
}

/// The devices of one event.
#[derive(Default)]
struct Devices {
    rows: Vec<Box<RawValue>>,
    bytes: usize,
}

impl Devices {
    fn is_full(&self) -> bool {
        self.rows.len() >= MAX_EVENT_DEVICES || self.bytes >= MAX_EVENT_BYTES
    }

    fn add(&mut self, device: &Device) {
        // A document is always JSON.
        let Ok(row) = serde_json::value::to_raw_value(device) else { return };
        self.bytes += row.get().len();
        self.rows.push(row);
    }
}

impl Reader {
    fn new(shared: Arc<Shared>, filter: Filter, admission: OwnedSemaphorePermit) -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            shared,
            filter,
            snapshot: None,
            shown: HashSet::new(),
            revision: 0,
            removals: 0,
            total: 0,
            problem: None,
            letters: Arc::default(),
            figures_at: Instant::now(),
            parts: VecDeque::new(),
            ticks,
            _admission: admission,
        }
    }

    /// Returns the next event; `None` when the server ends.
    async fn next(&mut self) -> Option<Frame> {
        let mut is_ending = self.shared.is_ending.subscribe();
        loop {
            if *is_ending.borrow_and_update() {
                return None;
            }
            while let Some(part) = self.parts.pop_front() {
                if let Some(frame) = self.frame(part) {
                    return Some(frame);
                }
            }
            tokio::select! {
                _ = self.ticks.tick() => {
                    self.parts.extend([Part::Problem, Part::Changes, Part::Figures, Part::DeadLetters]);
                }
                _ = is_ending.changed() => return None,
            }
        }
    }

    fn frame(&mut self, part: Part) -> Option<Frame> {
        let shared = Arc::clone(&self.shared);
        match part {
            Part::Problem => {
                let problem = shared.fleet().problem.clone();
                if problem == self.problem {
                    return None;
                }
                self.problem = problem;
                Some(frame("problem", &serde_json::json!({ "message": self.problem })))
            }
            Part::Changes if self.snapshot.as_ref().is_none_or(|ids| !ids.is_empty()) => self.snapshot(&shared.fleet()),
            Part::Changes => self.changes(&shared.fleet()),
            Part::Figures => {
                let run = shared.options.run.as_ref()?;
                if Instant::now() < self.figures_at {
                    return None;
                }
                self.figures_at = Instant::now() + FIGURES_EVERY;
                Some(frame("figures", &Figures { now_ms: shared.now_ms(), run: run.figures() }))
            }
            Part::DeadLetters => {
                let letters = shared.letters();
                let is_sent = Arc::ptr_eq(&letters, &self.letters) || letters.event.is_empty();
                let data = letters.event.clone();
                self.letters = letters;
                (!is_sent).then_some(Frame { name: "deadLetters", data })
            }
        }
    }

    /// Returns the next devices of those that there were at first, with their newest states.
    fn snapshot(&mut self, fleet: &Fleet) -> Option<Frame> {
        if !fleet.is_loaded {
            return None;
        }
        let first = self.snapshot.is_none();
        let mut ids = self.snapshot.take().unwrap_or_else(|| {
            (self.revision, self.removals) = (fleet.revision(), fleet.removals());
            let ids = fleet.select(&self.filter);
            self.shown = ids.iter().cloned().collect();
            ids.into()
        });
        let mut devices = Devices::default();
        while !devices.is_full()
            && let Some(id) = ids.pop_front()
        {
            if let Some(device) = fleet.get(&id) {
                devices.add(device);
            }
        }
        let more = !ids.is_empty();
        self.snapshot = Some(ids);
        self.parts.push_front(Part::Changes);
        self.total = self.total(fleet);
        let data = Snapshot {
            now_ms: self.shared.now_ms(),
            total: self.total,
            shown: self.shown.len(),
            first,
            devices: devices.rows,
            more,
        };
        Some(frame("snapshot", &data))
    }

    /// Returns what has changed since the last event; `None` for nothing.
    fn changes(&mut self, fleet: &Fleet) -> Option<Frame> {
        let (mut devices, mut removed) = (Devices::default(), Vec::new());
        if self.removals != fleet.removals() {
            self.removals = fleet.removals();
            self.shown.retain(|id| {
                let is_held = fleet.get(id).is_some();
                if !is_held {
                    removed.push(device_id(id).into_owned());
                }
                is_held
            });
        }
        for (revision, id, device) in fleet.changed_after(self.revision) {
            if devices.is_full() {
                self.parts.push_front(Part::Changes);
                break;
            }
            self.revision = revision;
            if self.filter.matches(&device.document) {
                self.shown.insert(Arc::clone(id));
                devices.add(device);
            } else if self.shown.remove(id) {
                removed.push(device_id(id).into_owned());
            }
        }
        let total = self.total(fleet);
        if devices.rows.is_empty() && removed.is_empty() && total == self.total {
            return None;
        }
        self.total = total;
        let data = Changes { now_ms: self.shared.now_ms(), total, devices: devices.rows, removed };
        Some(frame("changes", &data))
    }

    /// Returns how many devices of the store the filter selects; of those that are not in memory, this is known only if it selects
    /// every device.
    fn total(&self, fleet: &Fleet) -> u64 {
        let missing = if self.filter == Filter::EVERY { fleet.missing } else { 0 };
        self.shown.len() as u64 + missing
    }
}

fn frame(name: &'static str, data: &impl Serialize) -> Frame {
    Frame { name, data: serde_json::to_string(data).expect("texts and numbers are always JSON") }
}

#[cfg(test)]
mod tests;
