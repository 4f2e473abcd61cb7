//! Applies the events of one device: read, merge, conditional write, backoff.
//!
//! This is the only loop of optimistic concurrency in the product. A write is conditional on the document's tag, so a
//! stale base (from the cache) costs a conflict and a repeat, and never a lost update. Two rules keep the counts right:
//!
//! * Only a document that was just read may show that nothing has to be written. A cached one may be out of date.
//! * After a write whose response was lost, the document before that write is kept. If the next read shows that the write
//!   was done, the events are counted against the document before it: they are applied, not superseded.

mod operations;

use std::{collections::HashSet, mem, sync::atomic::AtomicBool, time::Duration};

use operations::is_rejected_write;
use tokio::time::Instant;

use super::{
    DocumentCache, Outcome,
    backoff::Backoff,
    counters::Counters,
    decoded::{Device, DeviceRecord},
    outcomes::{outcomes, unwritten_outcome},
    reading_limit,
};
use crate::{
    clock::Random,
    device_state::{Document, Update},
    store::{StateStore, StoreError, Stored},
};

/// The result for one device.
#[derive(Default)]
pub(super) struct DeviceResult {
    /// One outcome for each of the device's events, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// The batch indexes of the events whose writes were rejected as bad requests. These events failed, unless the store
    /// rejected the writes of all devices.
    pub(super) bad_requests: Vec<usize>,
    /// Why the events that are left were not written.
    pub(super) unwritten: Option<StoreError>,
    /// Whether the document was written.
    pub(super) is_written: bool,
}

/// Writes the devices of one batch.
pub(super) struct Writer<'a> {
    pub(super) store: &'a dyn StateStore,
    pub(super) cache: &'a DocumentCache,
    pub(super) random: &'a dyn Random,
    pub(super) heard_every: Duration,
    pub(super) max_readings: usize,
    pub(super) counters: &'a Counters,
    /// The documents that are known to be faulty: each gets one try, of at most [`FAULTY_DEVICE_TIME`].
    pub(super) faulty_documents: &'a HashSet<String>,
    /// Set when all other devices have a result: a device that still fails or does not respond gets no more time.
    pub(super) must_stragglers_end: &'a AtomicBool,
    /// When all operations of this batch must be completed.
    pub(super) deadline: Instant,
    /// A device that started before this has had enough time when it reaches the deadline.
    pub(super) start_deadline: Instant,
}

/// The write of one device, with what is known about its document.
struct DeviceWrite<'a> {
    writer: &'a Writer<'a>,
    device: &'a Device<'a>,
    base: Base,
    /// Whether the device started early enough. If it then reaches the deadline, that is a failure of the device. If it
    /// started late, it only shows that the store is slow or the batch is large.
    started_in_time: bool,
    /// Whether the store rejected the document and not an event. Then writing the events one by one would fail as well.
    is_document_rejected: bool,
    /// Whether the device is known to be faulty.
    is_faulty: bool,
    /// When all operations of this device must be completed.
    deadline: Instant,
    /// The last error of the store that was retried.
    last_failure: Option<StoreError>,
}

/// The assumed state of the document. It may be the base of a conditional write, but never the reason to skip one.
#[derive(Default)]
enum Base {
    #[default]
    Unknown,
    Absent,
    Stored(Stored),
    /// It was just read, and nothing was written since. It may be the reason to skip a write.
    Read(Option<Stored>),
}

impl From<Option<Stored>> for Base {
    fn from(stored: Option<Stored>) -> Self {
        stored.map_or(Self::Absent, Self::Stored)
    }
}

/// The document over which a write was tried; `None` if there was none.
struct WriteBase {
    document: Option<Document>,
}

/// The result of writing some events of a device.
struct WriteEnd {
    /// The document against which the events are counted, if there was one.
    before: Option<Document>,
    /// Whether they were written over it. Otherwise the document already holds them.
    is_written: bool,
    /// For each record why it was left out, if it was; empty if none was.
    left_out: Vec<Option<StoreError>>,
}

/// The time of a device that is known to be faulty. The others do not wait longer for it.
const FAULTY_DEVICE_TIME: Duration = Duration::from_secs(5);

/// How often in a row a creation may conflict with a document that a read does not find. With the backoff, this takes some
/// seconds: longer than a region needs to receive a document that another one has.
const MAX_UNREADABLE_CONFLICTS: u32 = 16;

impl Writer<'_> {
    /// Applies the events of one device, folded into one write.
    ///
    /// If the store rejects that write, the events are bisected, in order, until the single events that the store rejects
    /// are found: one invalid event must not fail the device's other events.
    pub(super) async fn apply_events(&self, device: &Device<'_>) -> DeviceResult {
        let mut device_write = DeviceWrite::new(self, device);
        let mut result = DeviceResult::default();
        let mut parts = vec![device.records.as_slice()];
        // The events of later parts are counted against it, too: a series that IoT Hub repeats may be in both.
        let mut before_batch: Option<Option<Document>> = None;
        while let Some(part) = parts.pop() {
            match device_write.write(part).await {
                Ok(WriteEnd { before, is_written, left_out }) => {
                    let before = before_batch.get_or_insert(before);
                    let first = result.outcomes.len();
                    result.outcomes.extend(outcomes(before.as_ref(), part));
                    for (index, error) in (first..).zip(left_out) {
                        if let Some(error) = error {
                            result.outcomes[index] = unwritten_outcome(device, &part[index - first], &error);
                        }
                    }
                    result.is_written |= is_written;
                }
                Err(error @ (StoreError::Rejected(_) | StoreError::BadRequest(_))) => {
                    if part.len() > 1 && !device_write.is_document_rejected {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                        continue;
                    }
                    result.outcomes.extend(part.iter().map(|record| unwritten_outcome(device, record, &error)));
                    if let StoreError::BadRequest(_) = error {
                        result.bad_requests.extend(part.iter().map(|record| record.index));
                    }
                }
                // The deadline has passed or the store has failed: the remaining events would fail as well.
                Err(error) => {
                    let left = &device.records[result.outcomes.len()..];
                    result.outcomes.extend(left.iter().map(|record| unwritten_outcome(device, record, &error)));
                    result.unwritten = Some(error);
                    return result;
                }
            }
        }
        result
    }

    /// Reads a document and writes it unchanged, once. Returns whether it exists.
    pub(super) async fn rewrite_unchanged(&self, id: &str) -> Result<bool, StoreError> {
        let device = Device { id: id.into(), ..Device::default() };
        let device_write = DeviceWrite::new(self, &device);
        let Some(stored) = device_write.read().await? else { return Ok(false) };
        device_write.replace(&stored.document, &stored.etag).await?;
        Ok(true)
    }
}

impl<'a> DeviceWrite<'a> {
    fn new(writer: &'a Writer<'a>, device: &'a Device<'a>) -> Self {
        let base = writer.cache.get(&device.id).map_or(Base::Unknown, Base::Stored);
        let now = Instant::now();
        let is_faulty = writer.faulty_documents.contains(&*device.id);
        Self {
            writer,
            device,
            base,
            started_in_time: now < writer.start_deadline,
            is_document_rejected: false,
            is_faulty,
            deadline: if is_faulty { writer.deadline.min(now + FAULTY_DEVICE_TIME) } else { writer.deadline },
            last_failure: None,
        }
    }

    /// Merges the events into the document and writes it, repeating after conflicts and transient errors.
    ///
    /// # Errors
    ///
    /// Returns the last error if it is final or if the deadline leaves no time for another try.
    async fn write(&mut self, records: &[DeviceRecord<'_>]) -> Result<WriteEnd, StoreError> {
        let heard_every = self.writer.heard_every;
        let mut update = folded(records.iter());
        let mut left_out = Vec::new();
        self.is_document_rejected = false;
        let mut backoff = Backoff::default();
        let mut unreadable_conflicts = 0;
        // The base of the last write that failed; such a write may have been done although its response was lost.
        let mut ambiguous_base: Option<WriteBase> = None;
        loop {
            let (stored, is_read) = match mem::take(&mut self.base) {
                Base::Stored(stored) => (Some(stored), false),
                Base::Absent => (None, false),
                Base::Read(stored) => (stored, true),
                Base::Unknown => match self.read().await {
                    Ok(stored) => (stored, true),
                    Err(error) => {
                        self.is_document_rejected =
                            matches!(error, StoreError::Rejected(_) | StoreError::BadRequest(_));
                        self.wait(&mut backoff, error).await?;
                        continue;
                    }
                },
            };
            let before = stored.as_ref().map(|stored| &stored.document);
            let mut document = before.cloned().unwrap_or_else(|| Document::new(self.device.id.clone().into_owned()));
            let has_newer = document.merge(&update);
            if reading_limit::is_exceeded(before, &document, self.writer.max_readings) {
                if is_read {
                    left_out = reading_limit::too_many(before, records, self.writer.max_readings);
                    if left_out.iter().all(Option::is_some) {
                        let before = before.cloned();
                        self.base = Base::Read(stored);
                        return Ok(WriteEnd { before, is_written: false, left_out });
                    }
                    update = folded(
                        records.iter().zip(&left_out).filter(|(_, error)| error.is_none()).map(|(record, _)| record),
                    );
                    self.base = Base::Read(stored);
                }
                continue;
            }
            let must_write = has_newer || before.is_none_or(|held| held.is_heard_due(&update, heard_every));
            let written = match stored {
                // Only a document that was just read may be the reason not to write. This one may be out of date: read it.
                Some(_) if !must_write && !is_read => continue,
                Some(stored) if !must_write => {
                    let before = counted_base(stored.document, ambiguous_base, &update);
                    return Ok(WriteEnd { before, is_written: false, left_out });
                }
                Some(ref stored) => self.replace(&document, &stored.etag).await,
                None => self.create(&document).await,
            };
            if let (Err(StoreError::Rejected(_) | StoreError::BadRequest(_)), Some(stored), false) =
                (&written, &stored, has_newer)
            {
                // Only the time at which the device was heard is new: that the store does not accept it must fail no event.
                if !is_read {
                    continue;
                }
                let before = counted_base(stored.document.clone(), ambiguous_base, &update);
                return Ok(WriteEnd { before, is_written: false, left_out });
            }
            match written {
                Ok(etag) => {
                    self.base = Base::Stored(Stored { document, etag });
                    let before = stored.map(|stored| stored.document);
                    let before = match before {
                        Some(before) if !has_newer => counted_base(before, ambiguous_base, &update),
                        before => before,
                    };
                    return Ok(WriteEnd { before, is_written: true, left_out });
                }
                Err(StoreError::Conflict) if stored.is_none() && unreadable_conflicts == MAX_UNREADABLE_CONFLICTS => {
                    self.is_document_rejected = true;
                    return Err(StoreError::Rejected(
                        "the store has a document with this id and does not find it when it is read, so the document \
                         cannot be changed: delete it, or give the device another id"
                            .into(),
                    ));
                }
                Err(error) => {
                    let is_unreadable = stored.is_none() && error == StoreError::Conflict;
                    unreadable_conflicts = if is_unreadable { unreadable_conflicts + 1 } else { 0 };
                    ambiguous_base =
                        Some(WriteBase { document: stored.as_ref().map(|stored| stored.document.clone()) });
                    if is_rejected_write(&error) {
                        self.base = stored.into();
                    }
                    self.wait(&mut backoff, error).await?;
                }
            }
        }
    }
}

/// Folds records into one update. Their order makes no difference to the result. Starting with the newest event skips most older
/// readings.
fn folded<'r>(records: impl DoubleEndedIterator<Item = &'r DeviceRecord<'r>>) -> Update {
    let mut update = Update::default();
    for record in records.rev() {
        update.fold(record.version, record.readings);
        update.hear(record.position);
    }
    update
}

/// Returns the document against which the events of an update are counted that changes no reading of the document `stored`. If
/// a write was done whose response was lost, the events are newer than the document before that write.
fn counted_base(stored: Document, ambiguous: Option<WriteBase>, update: &Update) -> Option<Document> {
    match ambiguous.filter(|base| stored.holds(update, base.document.as_ref())) {
        Some(base) => base.document,
        None => Some(stored),
    }
}
