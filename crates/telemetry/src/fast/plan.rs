//! What the fast reader looks for in a record of one kind.

use devicestate_engine::device_state::Name;

use crate::mapping::{Pointer, Wildcard};

/// What to read from a record.
#[derive(Debug)]
pub(super) struct Plan {
    /// The objects that have members to look for. The first one is the record.
    pub(super) objects: Vec<Object>,
    /// The number of slots that values are put into.
    pub(super) slots: usize,
    /// The rule for the members that are taken by their own names.
    pub(super) wildcard: Option<Wildcard>,
    /// True if a null clears its field, false if it says nothing.
    pub(super) nulls_clear: bool,
    /// True if an object is one value, false if it is flattened to readings by path.
    pub(super) objects_are_whole: bool,
    /// The names of readings that are not taken from members by their own names.
    pub(super) named: Vec<Name>,
    /// True if a value is looked for in the body. It is the record, unless the body is an array.
    pub(super) uses_body: bool,
}

/// An object with members to look for.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) members: Vec<(String, Member)>,
    /// True if its other members are taken by their own names.
    pub(super) is_taken: bool,
}

/// What a member is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// Where its value is put.
    pub(super) slot: Option<usize>,
    /// True if it is not also taken by its own name.
    pub(super) is_used: bool,
    /// The index of its [`Object`], if there are members to look for in it.
    pub(super) object: Option<usize>,
}

impl Plan {
    /// Returns the slot for the value at a pointer; `None` for the entire record. `is_used` is true if the value is not also taken
    /// by its own name.
    pub(super) fn slot(&mut self, pointer: &Pointer, is_used: bool) -> Option<usize> {
        let (last, steps) = pointer.steps.split_last()?;
        let object = self.object(steps);
        let slots = self.slots;
        let member = self.objects[object].member(last);
        let slot = *member.slot.get_or_insert(slots);
        member.is_used |= is_used;
        self.slots = slots.max(slot + 1);
        Some(slot)
    }

    /// Returns the index of an object.
    pub(super) fn object(&mut self, steps: &[String]) -> usize {
        steps.iter().fold(0, |parent, step| {
            let count = self.objects.len();
            let object = *self.objects[parent].member(step).object.get_or_insert(count);
            if object == count {
                self.objects.push(Object::default());
            }
            object
        })
    }
}

impl Object {
    pub(super) fn member(&mut self, name: &str) -> &mut Member {
        let index = self.members.iter().position(|(member, _)| member == name).unwrap_or_else(|| {
            self.members.push((name.to_owned(), Member::default()));
            self.members.len() - 1
        });
        &mut self.members[index].1
    }
}
