//! Who runs the tools.

use std::env;

/// Who runs this, as the trail tells it: the name that was given, or else user and machine, such as `ada@bridge`. A part
/// that cannot be found out is `unknown`.
///
/// It is what the environment says and no proof of anything: whoever runs the tools can be anybody here.
#[must_use]
pub fn who(given: Option<&str>) -> String {
    let variable = |name: &str| env::var(name).ok();
    who_of(given, variable, machine(variable))
}

fn who_of(given: Option<&str>, variable: impl Fn(&str) -> Option<String>, machine: Option<String>) -> String {
    if let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) {
        return given.to_owned();
    }
    let is_there = |text: &String| !text.is_empty();
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| variable(name).filter(is_there));
    let part = |part: Option<String>| part.filter(is_there).unwrap_or_else(|| "unknown".to_owned());
    format!("{}@{}", part(user), part(machine))
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

    fn of(given: Option<&str>, variables: &[(&str, &str)], machine: &str) -> String {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        who_of(given, variable, Some(machine.to_owned()))
    }

    #[test]
    fn whoever_runs_the_tools_is_told_by_user_and_machine() {
        assert_eq!(of(None, &[("USER", "ada"), ("LOGNAME", "other")], "bridge"), "ada@bridge");
        assert_eq!(of(None, &[("USER", ""), ("LOGNAME", "ada")], "bridge"), "ada@bridge");
        assert_eq!(of(None, &[("USERNAME", "ada")], "bridge"), "ada@bridge");
    }

    #[test]
    fn a_name_that_is_given_wins() {
        assert_eq!(of(Some(" ada, for ticket 7 "), &[("USER", "root")], "bridge"), "ada, for ticket 7");
        assert_eq!(of(Some("  "), &[("USER", "root")], "bridge"), "root@bridge");
    }

    #[test]
    fn what_cannot_be_found_out_is_unknown() {
        assert_eq!(of(None, &[], "bridge"), "unknown@bridge");
        assert_eq!(who_of(None, |_| None, None), "unknown@unknown");
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(!who(None).ends_with("@unknown"), "{}", who(None));
    }
}
