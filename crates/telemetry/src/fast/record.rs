//! Reads the members of one record, in one pass.

use devicestate_engine::{
    device_state::{Name, Reading},
    telemetry::Records,
};
use serde_json::{Number, Value};

use super::{
    plan::Plan,
    table::{Inner, Leaf, NONE, Purpose, Table},
    text::{Cursor, Quoted},
};
use crate::mapping;

/// How deep objects and arrays may be in each other. Deeper ones are left to the plain reader.
const MAX_DEPTH: usize = 32;

/// The value of a member that the plan looks for.
#[derive(Debug, Clone, Default)]
pub(super) enum Held {
    #[default]
    Absent,
    Null,
    Boolean(bool),
    Number(Number),
    Text(Quoted),
    /// An object or an array.
    Json {
        begin: usize,
        end: usize,
    },
}

/// Reads one record.
pub(super) struct RecordReader<'r, 'b, 't, 'e> {
    pub(super) plan: &'r Plan,
    pub(super) cursor: Cursor<'t>,
    pub(super) table: &'r mut Table,
    /// The values of the members that the plan looks for.
    pub(super) slots: &'r mut [Held],
    /// The members whose readings were added.
    pub(super) taken: &'r mut Vec<usize>,
    /// True if a member is neither used nor a reading.
    pub(super) has_others: bool,
    pub(super) records: &'r mut Records<'b, 'e>,
}

impl RecordReader<'_, '_, '_, '_> {
    /// Reads the object that starts here: fills the slots, and adds a reading for each member that is taken by its own name. `None`
    /// if the plain reader is needed.
    pub(super) fn read(&mut self) -> Option<()> {
        self.table.begin_record(self.plan);
        self.slots.fill(Held::Absent);
        self.taken.clear();
        self.object(0, MAX_DEPTH)
    }

    fn object(&mut self, object: usize, depth: usize) -> Option<()> {
        self.cursor.expect(b'{')?;
        self.cursor.skip_space();
        if self.cursor.expect(b'}').is_some() {
            self.has_others = true;
            return Some(());
        }
        let (mut previous, mut expected) = (NONE, self.table.objects[object].first);
        loop {
            let member = if self.is_next(expected) { expected } else { self.member(object, previous, expected)? };
            let purpose = self.table.mark(member)?;
            self.value(member, purpose, depth)?;
            match self.cursor.next_token()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
            (previous, expected) = (member, self.table.members[member].next);
        }
    }

    /// Skips the name of a member, if it is the next one.
    #[inline]
    fn is_next(&mut self, member: usize) -> bool {
        self.table.text(member).is_some_and(|text| self.cursor.skip(text))
    }

    /// Reads the name of a member that is not the expected one, or has white space before it.
    fn member(&mut self, object: usize, previous: usize, expected: usize) -> Option<usize> {
        self.cursor.skip_space();
        if self.is_next(expected) {
            return Some(expected);
        }
        let Quoted { begin, end, is_escaped: false } = self.cursor.string()? else { return None };
        self.cursor.skip_space();
        self.cursor.expect(b':')?;
        self.table.member(self.plan, object, &self.cursor.text[begin..end], previous)
    }

    #[inline]
    fn value(&mut self, member: usize, purpose: Purpose, depth: usize) -> Option<()> {
        if self.cursor.peek()? <= b' ' {
            self.cursor.skip_space();
        }
        let held = match self.cursor.peek()? {
            b'"' => Held::Text(self.cursor.string()?),
            b'-' | b'0'..=b'9' => Held::Number(self.cursor.number()?),
            b't' => self.cursor.skip(b"true").then_some(Held::Boolean(true))?,
            b'f' => self.cursor.skip(b"false").then_some(Held::Boolean(false))?,
            b'n' => self.cursor.skip(b"null").then_some(Held::Null)?,
            b'{' => return self.inner_object(member, purpose, depth.checked_sub(1)?),
            b'[' => return self.array(member, purpose, depth),
            _ => return None,
        };
        if purpose.inner == Inner::Taken && !matches!(held, Held::Null) {
            return None;
        }
        if !purpose.is_taken {
            if let Held::Text(Quoted { is_escaped: true, .. }) = held {
                held.to_value(self.cursor.text)?;
            }
            self.put(purpose, &held);
            return Some(());
        }
        self.hold(purpose, &held);
        if matches!(held, Held::Null) && !self.plan.nulls_clear {
            self.has_others = true;
            return Some(());
        }
        self.take(member, &held)
    }

    /// Puts a value that is not taken into its slot.
    #[inline]
    fn put(&mut self, purpose: Purpose, held: &Held) {
        self.has_others |= !purpose.is_used;
        self.hold(purpose, held);
    }

    /// Puts a value into its slot.
    #[inline]
    fn hold(&mut self, purpose: Purpose, held: &Held) {
        if let Some(slot) = self.slots.get_mut(purpose.slot as usize) {
            slot.clone_from(held);
        }
    }

    /// Adds a reading, if the value is one.
    #[inline]
    fn take(&mut self, member: usize, held: &Held) -> Option<()> {
        if let Leaf::Reading(name) = self.table.leaf(self.plan, member)? {
            let value = held.to_value(self.cursor.text)?;
            self.taken.push(member);
            self.records.push(Reading { name: Name::clone(name), value });
        } else {
            self.has_others = true;
            if let Held::Text(Quoted { is_escaped: true, .. }) = held {
                held.to_value(self.cursor.text)?;
            }
        }
        Some(())
    }

    fn inner_object(&mut self, member: usize, purpose: Purpose, depth: usize) -> Option<()> {
        let begin = self.cursor.at;
        let object = self.table.object(self.plan, member)?;
        self.object(object, depth)?;
        let held = Held::Json { begin, end: self.cursor.at };
        self.hold(purpose, &held);
        if purpose.is_taken && self.plan.objects_are_whole { self.take(member, &held) } else { Some(()) }
    }

    fn array(&mut self, member: usize, purpose: Purpose, depth: usize) -> Option<()> {
        // A step of a pointer may be the index of an element.
        if purpose.inner != Inner::Unplanned {
            return None;
        }
        let begin = self.cursor.at;
        let (value, bytes) = mapping::parse_first(&self.cursor.text[begin..])?;
        self.cursor.at += bytes;
        if !is_within(&value, depth) {
            return None;
        }
        let held = Held::Json { begin, end: self.cursor.at };
        if !purpose.is_taken {
            self.put(purpose, &held);
            return Some(());
        }
        self.hold(purpose, &held);
        if let Leaf::Reading(name) = self.table.leaf(self.plan, member)? {
            self.taken.push(member);
            self.records.push(Reading { name: Name::clone(name), value });
        } else {
            self.has_others = true;
        }
        Some(())
    }
}

/// Returns true if arrays and objects are at most so deep in each other.
fn is_within(value: &Value, depth: usize) -> bool {
    match (value, depth.checked_sub(1)) {
        (Value::Array(elements), Some(depth)) => elements.iter().all(|element| is_within(element, depth)),
        (Value::Object(members), Some(depth)) => members.values().all(|value| is_within(value, depth)),
        (Value::Array(_) | Value::Object(_), None) => false,
        _ => true,
    }
}

impl Held {
    /// Returns the value; `None` if a string has an invalid escape.
    #[inline]
    pub(super) fn to_value(&self, text: &str) -> Option<Value> {
        Some(match self {
            Self::Absent | Self::Null => Value::Null,
            Self::Boolean(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(Quoted { begin, end, is_escaped: false }) => Value::String(text[*begin..*end].to_owned()),
            Self::Text(Quoted { begin, end, is_escaped: true }) => {
                serde_json::from_str(&text[*begin - 1..=*end]).ok()?
            }
            Self::Json { begin, end } => serde_json::from_str(&text[*begin..*end]).ok()?,
        })
    }
}
