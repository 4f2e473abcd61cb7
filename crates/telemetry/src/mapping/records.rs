//! Takes the records out of the values of a body.

use std::fmt::Write as _;

use devicestate_engine::telemetry::{Poison, Records};
use serde_json::Value;

use super::{
    Context, MAX_RECORDS, Mapping, Pointer, Source,
    shown::{shortened, shown},
    source::Scope,
};

impl Mapping {
    /// Maps the values of an event's body: the records in them are added. `taken` is the number of records that were already
    /// taken out of this event.
    ///
    /// # Errors
    ///
    /// Returns a [`Poison`] if the event has more than [`MAX_RECORDS`] records; its records are discarded then.
    pub fn map_values<'e>(
        &self,
        values: &[Value],
        context: &Context<'e>,
        records: &mut Records<'_, 'e>,
        taken: &mut usize,
    ) -> Result<(), Poison> {
        let mut taken = Taken { mapping: self, context, records, count: taken };
        for value in values {
            match value {
                Value::Array(elements) => {
                    for element in non_empty(elements, None, taken.records) {
                        taken.element(element, value)?;
                    }
                }
                value => taken.element(value, value)?,
            }
        }
        Ok(())
    }

    fn is_ignored(&self, scope: Scope<'_, '_>) -> bool {
        self.ignore.iter().any(|when| when.holds(scope))
    }

    /// Says what the conditions of the kinds found instead.
    fn describe_no_kind(&self, scope: Scope<'_, '_>) -> String {
        const SHOWN: usize = 5;
        let mut issue = "no kind of the telemetry file applies: no `when` holds".to_owned();
        let mut sources: Vec<&Source> = Vec::new();
        for source in self.kinds.iter().flat_map(|kind| &kind.when.0).flat_map(|condition| &condition.from.0) {
            if sources.contains(&source) {
                continue;
            }
            if sources.len() == SHOWN {
                issue.push_str(", …");
                break;
            }
            let found = source.find(scope).map_or_else(|| "nothing".into(), |value| shown(&value));
            let start = if sources.is_empty() { "; found" } else { "," };
            let _ = write!(issue, "{start} {found} at {}", shortened(&source.to_string()));
            sources.push(source);
        }
        issue
    }

    /// Returns true if a record is ignored whatever the records within it say.
    fn is_ignored_before_it_is_split(&self, scope: Scope<'_, '_>) -> bool {
        self.ignore.iter().any(|when| !when.uses_record() && when.holds(scope))
    }
}

pub(super) fn too_many_records() -> Poison {
    Poison::Undecodable(format!("the event has more than {MAX_RECORDS} records: send several events"))
}

/// Returns the elements of an array of records: the body, or the one at a pointer. An array without one fails.
fn non_empty<'v>(elements: &'v [Value], place: Option<&Pointer>, records: &mut Records<'_, '_>) -> &'v [Value] {
    if elements.is_empty() {
        let issue = match place {
            Some(pointer) => format!("there is no record: the array at {pointer} is empty"),
            None => "there is no record: the body is an empty array".into(),
        };
        records.fail(None, Poison::Undecodable(issue));
    }
    elements
}

/// The records that are taken out of one event.
struct Taken<'t, 'r, 'e> {
    mapping: &'t Mapping,
    context: &'t Context<'e>,
    records: &'t mut Records<'r, 'e>,
    count: &'t mut usize,
}

impl<'t, 'e> Taken<'t, '_, 'e> {
    /// Takes a value of the body, or an element if it is an array.
    fn element(&mut self, element: &Value, body: &Value) -> Result<(), Poison> {
        self.count()?;
        let mapping = self.mapping;
        let Some(pointer) = &mapping.records else { return self.record(element, body) };
        if mapping.is_ignored_before_it_is_split(self.scope(element, element)) {
            self.records.ignore();
            return Ok(());
        }
        self.each_within(pointer, element, |taken, record| taken.record(record, element))
    }

    /// Maps a record of the kind that applies to it, or the records within it.
    fn record(&mut self, record: &Value, body: &Value) -> Result<(), Poison> {
        let (mapping, scope) = (self.mapping, self.scope(record, body));
        let has_kind_that_splits = mapping.kinds.iter().any(|kind| kind.records.is_some());
        let is_ignored = if has_kind_that_splits {
            mapping.is_ignored_before_it_is_split(self.scope(record, record))
        } else {
            mapping.is_ignored(scope)
        };
        if is_ignored {
            self.records.ignore();
            return Ok(());
        }
        let kind = mapping.kinds.iter().find(|kind| kind.when.holds(scope));
        if let Some(pointer) = kind.and_then(|kind| kind.records.as_ref()) {
            let kind = kind.expect("its records are used");
            return self.each_within(pointer, record, |taken, inner| {
                let scope = taken.scope(inner, record);
                if mapping.is_ignored(scope) {
                    taken.records.ignore();
                } else {
                    kind.map(mapping, scope, taken.records);
                }
                Ok(())
            });
        }
        match kind {
            _ if has_kind_that_splits && mapping.is_ignored(scope) => self.records.ignore(),
            Some(kind) => kind.map(mapping, scope, self.records),
            None => {
                self.records.fail(None, Poison::Invalid(mapping.describe_no_kind(scope)));
            }
        }
        Ok(())
    }

    /// Calls `map` for each of the records at a pointer within a value.
    fn each_within<'v>(
        &mut self,
        pointer: &Pointer,
        value: &'v Value,
        mut map: impl FnMut(&mut Self, &'v Value) -> Result<(), Poison>,
    ) -> Result<(), Poison> {
        match pointer.find(value) {
            Some(Value::Array(elements)) => {
                for (index, element) in non_empty(elements, Some(pointer), self.records).iter().enumerate() {
                    // The value itself was counted.
                    if index > 0 {
                        self.count()?;
                    }
                    map(self, element)?;
                }
            }
            Some(object @ Value::Object(_)) => map(self, object)?,
            other => {
                let found = other.map_or_else(|| "nothing".into(), shown);
                let issue = format!("the records at {pointer} must be an array, found {found}");
                self.records.fail(None, Poison::Undecodable(issue));
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Poison> {
        *self.count += 1;
        if *self.count > MAX_RECORDS { Err(too_many_records()) } else { Ok(()) }
    }

    fn scope<'v>(&self, record: &'v Value, body: &'v Value) -> Scope<'v, 'e>
    where
        't: 'v,
    {
        Scope { record, body, context: self.context }
    }
}
