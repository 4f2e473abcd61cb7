//! The host's log levels: which lines of its log, and so which records of the handler, reach Application Insights.

use serde_json::{Map, Value};

use super::{
    any_case::{member_object, text},
    overrides::overridden,
};
use crate::settings::Settings;

/// The category of what the handler writes to its standard output and standard error.
pub const CONSOLE: &str = "Host.Function.Console";

/// The app settings that override `logging.logLevel` of `host.json`; a category follows.
const OVERRIDE: &str = "AzureFunctionsJobHost__logging__logLevel__";

/// How important a line of the host's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Traces.
    Trace,
    /// Details for programmers.
    Debug,
    /// What happens.
    Information,
    /// What may need a change.
    Warning,
    /// What failed.
    Error,
    /// What ends the host.
    Critical,
    /// Above every line: nothing is logged.
    None,
}

impl LogLevel {
    const ALL: [Self; 7] =
        [Self::Trace, Self::Debug, Self::Information, Self::Warning, Self::Error, Self::Critical, Self::None];

    /// Returns the level of this name, in any letter case, or of this number.
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| Self::ALL.get(text.parse::<usize>().ok()?).copied();
        Self::ALL.into_iter().find(|level| format!("{level:?}").eq_ignore_ascii_case(text)).or_else(|| number(text))
    }
}

/// The log levels of `host.json`, and of the app settings that override them.
#[derive(Debug)]
pub struct LogLevels {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// Whether the rule is in the section of Application Insights.
    is_of_provider: bool,
    /// The beginning of the categories; empty for all.
    prefix: String,
    level: LogLevel,
}

impl LogLevels {
    /// Reads `logging` of `host.json`, and the settings. What is not a level is skipped: the host reports it.
    #[must_use]
    pub fn new(logging: &Value, settings: &Settings) -> Self {
        let logging = logging.as_object().cloned().unwrap_or_default();
        let levels = overridden(member_object(&logging, "logLevel"), OVERRIDE, settings);
        // The host compares this name with the provider's in this letter case, unlike those of its other settings.
        let provider = logging.get("ApplicationInsights").and_then(Value::as_object).cloned().unwrap_or_default();
        let of_provider = member_object(&provider, "logLevel");
        let rules = |is_of_provider, levels: Map<String, Value>| {
            levels.into_iter().filter_map(move |(category, level)| {
                let prefix = if category.eq_ignore_ascii_case("default") { String::new() } else { category };
                Some(Rule { is_of_provider, prefix, level: LogLevel::parse(text(&level).trim())? })
            })
        };
        Self { rules: rules(false, levels).chain(rules(true, of_provider)).collect() }
    }

    /// Returns the lowest level that is logged in a category of the host. A rule for Application Insights has precedence, then
    /// the longest prefix. Like the logger of Application Insights, it takes a `*` literally.
    #[must_use]
    pub fn minimum(&self, category: &str) -> LogLevel {
        let applies = |rule: &&Rule| {
            category.get(..rule.prefix.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(&rule.prefix))
        };
        let best = self.rules.iter().filter(applies).max_by_key(|rule| (rule.is_of_provider, rule.prefix.len()));
        best.map_or(LogLevel::Information, |rule| rule.level)
    }

    /// Returns a warning if the records of these functions, or those on the console, are not logged.
    pub(super) fn warning(&self, functions: &[String]) -> Option<String> {
        let categories = functions.iter().map(|name| user_category(name)).chain([CONSOLE.to_owned()]);
        let dropped: Vec<_> = categories.filter(|name| self.minimum(name) > LogLevel::Information).collect();
        let levels: Vec<_> = dropped.iter().map(|category| format!("\"{category}\": \"Information\"")).collect();
        (!dropped.is_empty()).then(|| {
            format!(
                "the host does not log the records in {}, so alerts and saved queries do not see them: set `{}` in \
                 logging.logLevel of host.json, and remove app settings that override it",
                dropped.join(", "),
                levels.join(", ")
            )
        })
    }
}

/// Returns the category of the `Logs` in a function's replies.
#[must_use]
pub fn user_category(function: &str) -> String {
    format!("Function.{function}.User")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        LogLevel::{Debug, Error, Information, Warning},
        *,
    };

    fn levels(logging: &Value, settings: &[(&str, &str)]) -> LogLevels {
        let mut values = Settings::default();
        for (name, value) in settings {
            values.set(*name, *value);
        }
        LogLevels::new(logging, &values)
    }

    #[test]
    fn without_log_levels_the_host_logs_information() {
        for logging in [Value::Null, json!({}), json!({"logLevel": null}), json!({"logLevel": "Error"})] {
            assert_eq!(levels(&logging, &[]).minimum("Function.F"), Information, "{logging}");
        }
    }

    #[test]
    fn the_longest_prefix_in_any_letter_case_decides() {
        let levels = levels(
            &json!({"LogLevel": {"DEFAULT": "none", "function": "error", "Function.F": "Warning", "Function.F.User": 1,
                                 "Function.F.UserName": "Critical", "Function.*.User": "Trace", "Host": "loud"}}),
            &[],
        );
        for (category, level) in [
            ("Function.F.User", Debug),
            ("Function.F", Warning),
            ("Function.Foo", Warning),
            ("Function.G", Error),
            ("Function.G.User", Error),
            ("Host.Function.Console", LogLevel::None),
            ("Funct", LogLevel::None),
        ] {
            assert_eq!(levels.minimum(category), level, "{category}");
        }
    }

    #[test]
    fn the_section_of_application_insights_has_precedence() {
        let logging = json!({"logLevel": {"Function.F.User": "Information"},
                             "ApplicationInsights": {"logLevel": {"Function": "Warning"}}});
        assert_eq!(levels(&logging, &[]).minimum("Function.F.User"), Warning);
        let other_case = json!({"applicationInsights": {"logLevel": {"Function": "Warning"}}});
        assert_eq!(levels(&other_case, &[]).minimum("Function.F.User"), Information);
    }

    #[test]
    fn app_settings_override_the_file() {
        let logging = json!({"logLevel": {"Default": "Information", "Function.F.User": "Information"}});
        let settings = [
            ("AzureFunctionsJobHost__logging__logLevel__default", "Error"),
            ("AZUREFUNCTIONSJOBHOST__LOGGING__LOGLEVEL__Function.F.user", "Warning"),
            ("AzureFunctionsJobHost__logging__logLevel__Host", "no level"),
        ];
        let levels = levels(&logging, &settings);
        assert_eq!((levels.minimum("Function.F.User"), levels.minimum("Host.Results")), (Warning, Error));
    }

    #[test]
    fn only_levels_above_information_are_a_warning() {
        let at =
            |level: &str| levels(&json!({"logLevel": {"Function.F": level}}), &[]).warning(&["F".into(), "G".into()]);
        assert_eq!((at("Trace"), at("Information")), (None, None));
        let warning = at("Warning").expect("a warning");
        assert!(
            warning.contains(r#""Function.F.User": "Information"`"#) && !warning.contains("Function.G"),
            "{warning}"
        );
        let all = levels(&json!({"logLevel": {"default": "Warning"}}), &[])
            .warning(&["F".into(), "G".into()])
            .expect("a warning");
        assert!(all.contains("Function.F.User, Function.G.User, Host.Function.Console, so"), "{all}");
    }
}
