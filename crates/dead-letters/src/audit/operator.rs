//! Who runs the command.

use std::env;

/// Returns the name of the operator for the audit trail: the given name, or else user and machine, such as `ada@bridge`. An
/// unknown user is its number, such as `uid-1000`; an unknown part is `unknown`.
///
/// The name comes from the environment and proves nothing: an operator can set it to any value.
#[must_use]
pub fn operator_name(given: Option<&str>) -> String {
    let variable = |name: &str| env::var(name).ok();
    operator_from(given, variable, user_number(), machine(variable))
}

fn operator_from(
    given: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
    user_number: Option<String>,
    machine: Option<String>,
) -> String {
    if let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) {
        return given.to_owned();
    }
    let is_set = |text: &String| !text.is_empty();
    let user =
        ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| variable(name).filter(is_set)).or(user_number);
    let part = |part: Option<String>| part.filter(is_set).unwrap_or_else(|| "unknown".to_owned());
    format!("{}@{}", part(user), part(machine))
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have no such number")]
fn user_number() -> Option<String> {
    Some(format!("uid-{}", rustix::process::getuid().as_raw()))
}

#[cfg(not(unix))]
fn user_number() -> Option<String> {
    None
}

#[cfg(unix)]
fn machine(_variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

#[cfg(not(unix))]
fn machine(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    variable("COMPUTERNAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator_with(given: Option<&str>, variables: &[(&str, &str)], machine: &str) -> String {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        operator_from(given, variable, Some("uid-7".to_owned()), Some(machine.to_owned()))
    }

    #[test]
    fn the_default_operator_is_user_and_machine() {
        assert_eq!(operator_with(None, &[("USER", "ada"), ("LOGNAME", "other")], "bridge"), "ada@bridge");
        assert_eq!(operator_with(None, &[("USER", ""), ("LOGNAME", "ada")], "bridge"), "ada@bridge");
        assert_eq!(operator_with(None, &[("USERNAME", "ada")], "bridge"), "ada@bridge");
    }

    #[test]
    fn a_given_operator_wins() {
        assert_eq!(operator_with(Some(" ada, for ticket 7 "), &[("USER", "root")], "bridge"), "ada, for ticket 7");
        assert_eq!(operator_with(Some("  "), &[("USER", "root")], "bridge"), "root@bridge");
    }

    #[test]
    fn an_unknown_part_of_the_operator_is_unknown() {
        assert_eq!(operator_with(None, &[], "bridge"), "uid-7@bridge");
        assert_eq!(operator_from(None, |_| None, None, None), "unknown@unknown");
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(!operator_name(None).ends_with("@unknown"), "{}", operator_name(None));
    }
}
