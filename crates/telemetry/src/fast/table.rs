//! The members that the reader has seen, and what each is for.
//!
//! Devices send the same members in the same order, event after event. So what a member is for is looked up in the [`Plan`] once,
//! and each member remembers which one came after it: the next event is read with one comparison for each member.

use std::collections::HashSet;

use devicestate_engine::device_state::{Name, is_reading_name};

use super::{order::Orders, plan::Plan};
use crate::mapping::MAX_NAME_BYTES;

/// The most members that are remembered. A fleet may invent names without end.
const MAX_MEMBERS: usize = 2048;

/// No object or member.
pub(super) const NONE: usize = usize::MAX;

/// The objects and members that were seen.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) objects: Vec<SeenObject>,
    pub(super) members: Vec<SeenMember>,
    /// The names of all readings. Two members whose paths are the same text have one name.
    names: HashSet<Name>,
    pub(super) orders: Orders,
    /// The number of the record that is read.
    record: u64,
}

/// An object that was seen.
#[derive(Debug)]
pub(super) struct SeenObject {
    /// The index in [`Plan::objects`], if there are members to look for.
    planned: Option<usize>,
    /// What the paths of its members begin with; `None` if they are not taken by their own names.
    path: Option<String>,
    /// The member that came first.
    pub(super) first: usize,
    /// Its members, sorted by name.
    members: Vec<usize>,
}

/// A member that was seen.
#[derive(Debug)]
pub(super) struct SeenMember {
    /// The name in quotes, with the colon.
    text: String,
    /// The index of its object.
    parent: usize,
    /// The member that came after it.
    pub(super) next: usize,
    purpose: Purpose,
    /// The index of its object in [`Plan::objects`].
    planned: Option<usize>,
    /// What its value is, once there was one that is not an object.
    leaf: Leaf,
    /// The index of its object, once there was one.
    object: usize,
    /// The number of the last record that has this member.
    record: u64,
}

/// What a member is for. It is small, because it is read for each member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose {
    /// Where its value is put; [`NO_SLOT`] if it is not looked for.
    pub(super) slot: u32,
    /// True if its value is used, and so not taken by its own name.
    pub(super) is_used: bool,
    /// True if its value, or the values in its object, are taken by their own names.
    pub(super) is_taken: bool,
    pub(super) inner: Inner,
}

/// What the members of a member's object are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inner {
    /// None of them is looked for.
    Unplanned,
    /// Some are looked for.
    Planned,
    /// They are taken by their own names, whatever the name of the object is. So it must be an object.
    Taken,
}

/// No slot.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// What a value is that is taken by its own name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Leaf {
    Unknown,
    /// It is not included, or it is excluded.
    Left,
    Reading(Name),
}

impl SeenMember {
    fn name(&self) -> &str {
        self.text.strip_prefix('"').and_then(|text| text.strip_suffix("\":")).unwrap_or_default()
    }
}

impl SeenObject {
    fn new(planned: Option<usize>, path: Option<String>) -> Self {
        Self { planned, path, first: NONE, members: Vec::new() }
    }
}

impl Table {
    pub(super) fn new(plan: &Plan) -> Self {
        let path = plan.objects[0].is_taken.then(String::new);
        Self {
            objects: vec![SeenObject::new(Some(0), path)],
            members: Vec::new(),
            names: plan.named.iter().cloned().collect(),
            orders: Orders::default(),
            record: 0,
        }
    }

    /// Begins a record.
    #[inline]
    pub(super) fn begin_record(&mut self, plan: &Plan) {
        // Never within a record, because the reader holds indexes.
        if self.members.len() >= MAX_MEMBERS {
            *self = Self::new(plan);
        }
        self.record += 1;
    }

    /// Returns the text of a member from its name to its colon; `None` if there is no such member.
    #[inline]
    pub(super) fn text(&self, member: usize) -> Option<&[u8]> {
        Some(self.members.get(member)?.text.as_bytes())
    }

    /// Marks a member as seen in this record; returns what it is for. `None` if it was already seen: a duplicate.
    #[inline]
    pub(super) fn mark(&mut self, member: usize) -> Option<Purpose> {
        let member = &mut self.members[member];
        let record = std::mem::replace(&mut member.record, self.record);
        (record != self.record).then_some(member.purpose)
    }

    /// Returns the member of an object by its name, which has no escapes. `None` if the plain reader must read it. `previous` is
    /// the member before it.
    pub(super) fn member(&mut self, plan: &Plan, object: usize, name: &str, previous: usize) -> Option<usize> {
        let seen = self.objects[object].members.binary_search_by(|member| self.members[*member].name().cmp(name));
        let member = match seen {
            Ok(index) => self.objects[object].members[index],
            Err(index) => {
                let member = self.learn(plan, object, name)?;
                self.objects[object].members.insert(index, member);
                member
            }
        };
        match self.members.get_mut(previous) {
            Some(previous) => previous.next = member,
            None => self.objects[object].first = member,
        }
        Some(member)
    }

    /// Adds a member, with what it is for.
    fn learn(&mut self, plan: &Plan, parent: usize, name: &str) -> Option<usize> {
        // Records with more members are left to the plain reader, too.
        if name.len() > MAX_NAME_BYTES || self.members.len() >= 2 * MAX_MEMBERS {
            return None;
        }
        let SeenObject { planned, path, .. } = &self.objects[parent];
        let rule = planned.and_then(|planned| plan.objects[planned].members.iter().find(|(member, _)| member == name));
        let rule = rule.map(|(_, rule)| *rule).unwrap_or_default();
        self.members.push(SeenMember {
            text: format!("\"{name}\":"),
            parent,
            next: NONE,
            purpose: Purpose {
                slot: rule.slot.map_or(Ok(NO_SLOT), u32::try_from).ok()?,
                is_used: rule.is_used,
                is_taken: path.is_some() && !rule.is_used,
                inner: match rule.object {
                    None => Inner::Unplanned,
                    Some(object) if plan.objects[object].is_taken => Inner::Taken,
                    Some(_) => Inner::Planned,
                },
            },
            planned: rule.object,
            leaf: Leaf::Unknown,
            object: NONE,
            record: 0,
        });
        Some(self.members.len() - 1)
    }

    /// Returns what the value of a member is; `None` if no reading can have its name.
    #[inline]
    pub(super) fn leaf(&mut self, plan: &Plan, member: usize) -> Option<&Leaf> {
        if matches!(self.members[member].leaf, Leaf::Unknown) {
            self.members[member].leaf = self.new_leaf(plan, member)?;
        }
        Some(&self.members[member].leaf)
    }

    fn new_leaf(&mut self, plan: &Plan, member: usize) -> Option<Leaf> {
        let (member, wildcard) = (&self.members[member], plan.wildcard.as_ref()?);
        let path = format!("{}{}", self.objects[member.parent].path.as_deref()?, member.name());
        if wildcard.is_excluded(&path) || !wildcard.is_included(&path) {
            return Some(Leaf::Left);
        }
        let name = format!("{}{path}", wildcard.prefix);
        if name.len() > MAX_NAME_BYTES || !is_reading_name(&name) || self.names.contains(name.as_str()) {
            return None;
        }
        let name = Name::from(name);
        self.names.insert(name.clone());
        Some(Leaf::Reading(name))
    }

    /// Returns the object that a member is; `None` if the names of its readings would be too long.
    #[inline]
    pub(super) fn object(&mut self, plan: &Plan, member: usize) -> Option<usize> {
        match self.members[member].object {
            NONE => self.new_object(plan, member),
            object => Some(object),
        }
    }

    fn new_object(&mut self, plan: &Plan, index: usize) -> Option<usize> {
        let member = &self.members[index];
        let (planned, Purpose { is_taken, inner, .. }) = (member.planned, member.purpose);
        let path = match &self.objects[member.parent].path {
            _ if inner == Inner::Taken => Some(String::new()),
            Some(path) if is_taken && !plan.objects_are_whole => Some(format!("{path}{}.", member.name())),
            _ => None,
        };
        if path.as_ref().is_some_and(|path| path.len() > MAX_NAME_BYTES) {
            return None;
        }
        self.objects.push(SeenObject::new(planned, path));
        self.members[index].object = self.objects.len() - 1;
        Some(self.objects.len() - 1)
    }
}
