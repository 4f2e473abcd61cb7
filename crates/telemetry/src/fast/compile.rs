//! Makes what the fast reader looks for from a mapping.

use super::{
    found::{From, Guard, SlotCondition},
    plan::{Object, Plan},
    rules::{ReadingRule, ReadingValue, Rules, TimeRule},
};
use crate::mapping::{self, Condition, Elements, Mapping, Source, Sources, When};

/// A kind of record that the fast reader can read.
#[derive(Debug)]
pub(super) struct FastKind {
    pub(super) plan: Plan,
    /// What decides whether a record is of this kind: the records to ignore, the kinds before it, and the kind itself.
    pub(super) guards: Vec<Guard>,
    pub(super) rules: Rules,
}

/// Returns the kinds that the fast reader can read.
pub(super) fn compile(mapping: &Mapping) -> Vec<FastKind> {
    if mapping.records.is_some() || mapping.kinds.iter().any(|kind| kind.records.is_some()) {
        return Vec::new();
    }
    (0..mapping.kinds.len()).filter_map(|index| FastKind::compile(mapping, index)).collect()
}

impl FastKind {
    fn compile(mapping: &Mapping, index: usize) -> Option<Self> {
        let kind = &mapping.kinds[index];
        let mut plan = Plan {
            objects: vec![Object::default()],
            slots: 0,
            wildcard: kind.wildcard.clone(),
            nulls_clear: kind.null_clears,
            objects_are_whole: kind.objects_are_whole,
            named: kind.readings.iter().map(|rule| rule.name.clone()).collect(),
            uses_body: false,
        };
        if let Some(wildcard) = &kind.wildcard {
            match &wildcard.elements {
                Elements::Members { value } if value.steps.is_empty() => {}
                _ => return None,
            }
            let container = plan.object(&wildcard.from.steps);
            plan.objects[container].is_taken = true;
        }
        let before = mapping.ignore.iter().chain(mapping.kinds[..index].iter().map(|kind| &kind.when));
        let mut guards = before.map(|when| plan.guard(when, false)).collect::<Option<Vec<_>>>()?;
        guards.push(plan.guard(&kind.when, true)?);
        guards.retain(|guard| !(guard.must_hold && guard.conditions.is_empty()));
        // A record that has several ids is left to the plain reader if only the one that is used is not a reading.
        let device = plan.sources(&kind.device, true)?;
        let time = match &kind.time {
            Some(time) => {
                // A time that orders nothing is also looked for, because it is used.
                let from = plan.sources(&time.from, true)?;
                let mapping::TimeRule { format, not_before_ms, is_required, is_order, .. } = *time;
                is_order.then_some(TimeRule { from, format, not_before_ms, is_required })
            }
            None => None,
        };
        let readings = kind.readings.iter().map(|rule| {
            let value = match &rule.value {
                mapping::ReadingValue::Constant(value) => ReadingValue::Constant(value.clone()),
                mapping::ReadingValue::Found { from, conversion, is_required } => ReadingValue::Found {
                    from: plan.sources(from, true)?,
                    conversion: conversion.clone(),
                    is_required: *is_required,
                },
            };
            Some(ReadingRule { name: rule.name.clone(), value })
        });
        let readings = readings.collect::<Option<Vec<_>>>()?;
        let takes_other_ids = kind.takes_other_ids;
        let rules =
            Rules { device, takes_other_ids, device_id_from_iot_hub: mapping.device_id_from_iot_hub, time, readings };
        Some(Self { plan, guards, rules })
    }
}

impl Plan {
    fn guard(&mut self, when: &When, must_hold: bool) -> Option<Guard> {
        let conditions = when.0.iter().map(|condition| {
            let Condition { from, test } = condition;
            let in_body = from.0.iter().filter(|source| !source.is_metadata()).count();
            match in_body {
                0 => Some(SlotCondition::Metadata(condition.clone())),
                _ if in_body == from.0.len() => {
                    Some(SlotCondition::Record { from: self.sources(from, false)?, test: test.clone() })
                }
                _ => None,
            }
        });
        Some(Guard { conditions: conditions.collect::<Option<_>>()?, must_hold })
    }

    /// Returns where values are; `None` if the fast reader cannot find them. `is_used` is true if they are not also taken by their
    /// own names.
    fn sources(&mut self, sources: &Sources, is_used: bool) -> Option<Vec<From>> {
        let from = sources.0.iter().map(|source| match source {
            Source::Record(pointer) => self.slot(pointer, is_used).map(From::Slot),
            Source::Body(pointer) => {
                self.uses_body = true;
                self.slot(pointer, is_used).map(From::Slot)
            }
            source => Some(From::Metadata(source.clone())),
        });
        from.collect()
    }
}
