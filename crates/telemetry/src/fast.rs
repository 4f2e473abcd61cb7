//! Reads JSON in one pass, without building values that are not stored.
//!
//! This is a second reader beside the plain one, which defines what events mean. Invariant: if the fast reader reads an event, the
//! plain reader reads the same records. It leaves each event that is unusual to the plain reader, and each one that is not valid.

mod compile;
mod found;
mod order;
mod plan;
mod record;
mod rules;
mod table;
mod text;

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

use devicestate_engine::telemetry::Records;

use crate::mapping::{Context, MAX_RECORDS, MAX_VALUES, Mapping};
use compile::{FastKind, compile};
use record::{Held, RecordReader};
use table::Table;
use text::Cursor;

/// A longer text may have more values than the plain reader allows.
const MAX_BYTES: usize = 2 * MAX_VALUES;

/// Reads events of one mapping.
#[derive(Debug)]
pub(crate) struct FastReader {
    kinds: Vec<FastKind>,
    /// What the reader remembers between events: one for each event that is read at the same time.
    idle: Mutex<Vec<Memory>>,
}

/// What the reader remembers between events.
#[derive(Debug)]
struct Memory {
    kinds: Vec<KindMemory>,
    /// The kind of the last record.
    last: usize,
    /// The members whose readings were added.
    taken: Vec<usize>,
}

#[derive(Debug)]
struct KindMemory {
    table: Table,
    slots: Vec<Held>,
}

impl FastReader {
    pub(crate) fn new(mapping: &Mapping) -> Self {
        Self { kinds: compile(mapping), idle: Mutex::default() }
    }

    /// Reads the records of an event from its JSON. Returns false if the plain reader is needed; no record is added then.
    /// `own` makes a part of the text one of the event, and `count` is the number of its records so far.
    pub(crate) fn read<'t, 'e>(
        &self,
        context: &Context<'e>,
        text: &'t [u8],
        own: impl Fn(&'t str) -> Cow<'e, str>,
        records: &mut Records<'_, 'e>,
        count: &mut usize,
    ) -> bool {
        let Ok(text) = str::from_utf8(text) else { return false };
        if self.kinds.is_empty() || text.len() > MAX_BYTES {
            return false;
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = idle.unwrap_or_else(|| Memory::new(&self.kinds));
        let before = records.mark();
        let mut reading = Reading { kinds: &self.kinds, context, own, memory: &mut memory, records };
        let read = reading.read(text, *count);
        match read {
            Some(new_count) => *count = new_count,
            None => records.return_to(before),
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        read.is_some()
    }
}

impl Memory {
    fn new(kinds: &[FastKind]) -> Self {
        let of_kind =
            |kind: &FastKind| KindMemory { table: Table::new(&kind.plan), slots: vec![Held::Absent; kind.plan.slots] };
        Self { kinds: kinds.iter().map(of_kind).collect(), last: 0, taken: Vec::new() }
    }
}

/// One event is being read.
struct Reading<'r, 'b, 'e, F> {
    kinds: &'r [FastKind],
    context: &'r Context<'e>,
    own: F,
    memory: &'r mut Memory,
    records: &'r mut Records<'b, 'e>,
}

impl<'e, F> Reading<'_, '_, 'e, F> {
    /// Returns the number of the event's records, with those before.
    fn read<'t>(&mut self, text: &'t str, count: usize) -> Option<usize>
    where
        F: Fn(&'t str) -> Cow<'e, str>,
    {
        let mut cursor = Cursor { text, at: 0 };
        cursor.skip_space();
        let is_array = cursor.expect(b'[').is_some();
        if is_array && self.kinds.iter().any(|kind| kind.plan.uses_body) {
            return None;
        }
        for count in count + 1..=MAX_RECORDS {
            cursor.skip_space();
            self.record(&mut cursor)?;
            cursor.skip_space();
            if is_array && cursor.expect(b',').is_none() {
                cursor.expect(b']')?;
                cursor.skip_space();
                return (cursor.at == text.len()).then_some(count);
            }
            if !is_array && cursor.at == text.len() {
                return Some(count);
            }
        }
        None
    }

    /// Reads one record. Most are of the kind of the last one.
    fn record<'t>(&mut self, cursor: &mut Cursor<'t>) -> Option<()>
    where
        F: Fn(&'t str) -> Cow<'e, str>,
    {
        let first = self.memory.last;
        for index in (first..self.kinds.len()).chain(0..first) {
            let FastKind { plan, guards, rules } = &self.kinds[index];
            let KindMemory { table, slots } = &mut self.memory.kinds[index];
            let mut reader = RecordReader {
                plan,
                cursor: Cursor { ..*cursor },
                table,
                slots,
                taken: &mut self.memory.taken,
                has_others: false,
                records: self.records,
            };
            let is_read = reader.read().is_some()
                && guards.iter().all(|guard| guard.is_kept(self.context, reader.slots, cursor.text))
                && rules.finish(self.context, &self.own, &mut reader).is_some();
            if is_read {
                cursor.at = reader.cursor.at;
                self.memory.last = index;
                return Some(());
            }
            self.records.discard();
        }
        None
    }
}

#[cfg(test)]
mod tests;
