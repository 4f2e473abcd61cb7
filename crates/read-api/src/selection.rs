//! The parameters that select devices, and parts of them.

use devicestate_engine::store::Filter;

use crate::{IndexedFields, Problem, duration_ms, filter, indexed, model::Parts, query::Parameters, time};

/// The field with the time at which a device was last heard.
pub(crate) const HEARD: &str = "Heard";

/// Limits the names in `select`.
const MAX_SELECTED: usize = 100;

/// What a duration looks like, for problems.
pub(crate) const DURATION: &str = "a duration such as 90s, 15m, 2h or 7d";

/// Returns which parts of documents `select` and `versions` select.
pub(crate) fn parts(parameters: &Parameters) -> Result<Parts, Problem> {
    let expected =
        format!("up to {MAX_SELECTED} names of readings, separated by commas; one with a comma is in backticks");
    let select = parameters.parsed("select", &expected, names)?;
    Ok(Parts { select, with_versions: parameters.flag("versions")? })
}

/// Splits a list of names at its commas. In backticks, a comma is a part of a name, and two backticks are one.
fn names(text: &str) -> Option<Vec<String>> {
    let (mut names, mut name, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '`' if is_quoted && chars.next_if_eq(&'`').is_some() => name.push('`'),
            '`' => is_quoted = !is_quoted,
            ',' if !is_quoted => names.push(std::mem::take(&mut name)),
            c => name.push(c),
        }
    }
    names.push(name);
    let is_valid = !is_quoted && names.len() <= MAX_SELECTED && names.iter().all(|name| !name.is_empty());
    is_valid.then_some(names)
}

/// Returns the condition of `where` and `prefix`.
pub(crate) fn of_content(parameters: &Parameters, indexed: &IndexedFields) -> Result<Vec<Filter>, Problem> {
    let mut filters = Vec::new();
    if let Some(prefix) = parameters.get("prefix").filter(|prefix| !prefix.is_empty()) {
        filters.push(Filter::DevicePrefix(prefix.to_owned()));
    }
    if let Some(text) = parameters.get("where") {
        let filter = filter::parse(text).map_err(|error| Problem::invalid_filter(&error))?;
        filter::names(&filter).into_iter().try_for_each(|name| check(indexed, name))?;
        filters.push(filter);
    }
    Ok(filters)
}

/// Returns the condition of `silent` and `heardSince` at a time.
pub(crate) fn of_times(parameters: &Parameters, indexed: &IndexedFields, now_ms: i64) -> Result<Vec<Filter>, Problem> {
    let silent = silent_ms(parameters)?.map(|silent_ms| Filter::HeardUntil(now_ms - silent_ms));
    let expected = format!("a time such as 2026-01-02T03:04:05Z, or {DURATION} before now");
    let since = parameters.parsed("heardSince", &expected, |text| time::since_ms(text, now_ms))?;
    let filters: Vec<_> = silent.into_iter().chain(since.map(Filter::HeardSince)).collect();
    if !filters.is_empty() {
        check(indexed, HEARD)?;
    }
    Ok(filters)
}

/// Returns the duration of `silent` in milliseconds.
pub(crate) fn silent_ms(parameters: &Parameters) -> Result<Option<i64>, Problem> {
    parameters.parsed("silent", DURATION, duration_ms)
}

/// Checks that the store finds documents by a field.
pub(crate) fn check(indexed: &IndexedFields, field: &str) -> Result<(), Problem> {
    if indexed.has(field) { Ok(()) } else { Err(Problem::not_indexed(field, &indexed::path(field))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_separated_by_commas_outside_of_backticks() {
        assert_eq!(names("battery,`a,``b`,größe"), Some(vec!["battery".into(), "a,`b".into(), "größe".into()]));
        for invalid in ["", "a,", ",a", "`a", "a,``"] {
            assert_eq!(names(invalid), None, "{invalid}");
        }
        assert!(names(&vec!["a"; MAX_SELECTED].join(",")).is_some());
        assert_eq!(names(&vec!["a"; MAX_SELECTED + 1].join(",")), None);
    }
}
