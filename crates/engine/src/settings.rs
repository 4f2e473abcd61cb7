//! App settings, which the host passes to the handler as environment variables, and their errors.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::timespan;

/// App settings, by name.
///
/// There is no `Debug`: the environment contains secrets of other programs.
#[derive(Clone, Default)]
pub struct Settings {
    values: HashMap<String, String>,
    /// The names of the variables whose values are not UTF-8.
    not_utf8: BTreeSet<String>,
    /// The names that were read, from this or a clone of it.
    names_read: Arc<Mutex<BTreeSet<String>>>,
}

impl Settings {
    /// Returns the settings of this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let mut settings = Self::default();
        for (name, value) in std::env::vars_os() {
            // A name that is not UTF-8 is not one of this product.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => settings.set(name, value),
                Err(_) => drop(settings.not_utf8.insert(name)),
            }
        }
        settings
    }

    /// Checks that each setting that was read so far is UTF-8. One that is not counts as absent.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::NotUtf8`] with the first such setting.
    pub fn check_encoding(&self) -> Result<(), ConfigError> {
        let setting = self.names_read().into_iter().find(|name| self.not_utf8.contains(name));
        setting.map_or(Ok(()), |setting| Err(ConfigError::NotUtf8 { setting }))
    }

    /// Returns a setting's value. An empty value counts as absent, as for the host.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.names_read.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the names that were read so far, including absent ones.
    #[must_use]
    pub fn names_read(&self) -> BTreeSet<String> {
        self.names_read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the settings that were not read but differ from a name that was read only in case, or in `:` instead of
    /// `__`; each with that name. On Linux these are different names, and such a setting would silently have no effect.
    #[must_use]
    pub fn misspelled(&self) -> Vec<(&str, String)> {
        let names_read = self.names_read();
        let is_variant = |set: &str, name: &str| set.replace(':', "__").eq_ignore_ascii_case(name);
        let unread = self.values.keys().filter(|set| !names_read.contains(*set));
        let mut pairs: Vec<_> = unread
            .filter_map(|set| {
                let intended =
                    names_read.iter().find(|name| is_variant(set, name) && !self.values.contains_key(*name))?;
                Some((set.as_str(), intended.clone()))
            })
            .collect();
        pairs.sort();
        pairs
    }

    /// Adds a setting if it is absent: the environment has precedence, as in Core Tools.
    pub fn add_default(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.entry(name.into()).or_insert_with(|| value.into());
    }

    /// Returns true if a connection of this name consists of several settings, `Name__…`.
    #[must_use]
    pub fn has_parts_of(&self, name: &str) -> bool {
        self.values.keys().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with("__")))
    }

    /// Returns the settings whose names begin with this prefix, in any letter case as in .NET: what follows it, and their values.
    pub fn after_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter_map(move |(name, value)| {
            let (beginning, rest) = name.split_at_checked(prefix.len())?;
            beginning.eq_ignore_ascii_case(prefix).then_some((rest, value.as_str()))
        })
    }

    /// Sets or replaces a setting.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Returns all settings, as the environment of a process.
    #[must_use]
    pub fn to_environment(&self) -> Vec<(String, String)> {
        self.values.clone().into_iter().collect()
    }

    /// Replaces each `%Name%` by that setting, as the host does in bindings.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::Missing`] if a setting is absent.
    pub fn resolve(&self, text: &str) -> Result<String, ConfigError> {
        let mut parts = text.split('%');
        let mut resolved = parts.next().unwrap_or_default().to_owned();
        while let (Some(name), Some(rest)) = (parts.next(), parts.next()) {
            resolved
                .push_str(self.get(name).ok_or_else(|| ConfigError::missing(name, "a function.json refers to it"))?);
            resolved.push_str(rest);
        }
        Ok(resolved)
    }

    /// Parses a setting; returns `default` if it is absent. `expected` describes valid values in the error.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::Invalid`] if `parse` returns `None`.
    pub fn parse<T>(
        &self,
        setting: &'static str,
        default: T,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.get(setting) else { return Ok(default) };
        parse(value).ok_or_else(|| ConfigError::invalid(setting, value, expected))
    }
}

/// An error in the settings. It never contains a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required setting is missing.
    #[error("the setting `{setting}` is missing: {why}")]
    Missing {
        /// The setting's name.
        setting: String,
        /// What the setting is needed for.
        why: &'static str,
    },
    /// A setting has an invalid value.
    #[error("the setting `{setting}` must be {expected}, not {value}")]
    Invalid {
        /// The setting's name.
        setting: &'static str,
        /// The setting's value in quotes, or a description of one that may be a secret.
        value: String,
        /// The valid values.
        expected: &'static str,
    },
    /// A setting is not UTF-8.
    #[error("the setting `{setting}` is not UTF-8: set it again")]
    NotUtf8 {
        /// The setting's name.
        setting: String,
    },
    /// A setting is not a valid connection. The error describes the problem and never contains the value.
    #[error("the setting `{setting}` {problem}")]
    Connection {
        /// The setting's name.
        setting: String,
        /// The problem, without the value.
        problem: String,
    },
    /// Two settings contradict each other.
    #[error(
        "the setting `InvocationBudget` ({}) plus 20 ms for each of the {max_event_batch_size} possible dead letters of a \
         batch (`maxEventBatchSize`) must be less than `functionTimeout` ({}) of host.json: lower `InvocationBudget` or \
         raise `functionTimeout`", timespan::format(*budget), timespan::format(*function_timeout)
    )]
    Budget {
        /// `InvocationBudget`.
        budget: Duration,
        /// `functionTimeout` of host.json.
        function_timeout: Duration,
        /// `extensions.eventHubs.maxEventBatchSize` of host.json.
        max_event_batch_size: usize,
    },
}

impl ConfigError {
    /// Creates a [`ConfigError::Missing`].
    #[must_use]
    pub fn missing(setting: &str, why: &'static str) -> Self {
        Self::Missing { setting: setting.to_owned(), why }
    }

    /// Creates a [`ConfigError::Invalid`].
    #[must_use]
    pub fn invalid(setting: &'static str, value: &str, expected: &'static str) -> Self {
        let value = if may_be_secret(value) {
            format!("its value of {} characters, hidden because it may be a secret", value.chars().count())
        } else {
            format!("{value:?}")
        };
        Self::Invalid { setting, value, expected }
    }
}

/// Returns true for a key, a signature or a connection string: two values may have been swapped. A long value may have another
/// form of secret.
fn may_be_secret(value: &str) -> bool {
    /// No valid value of a setting that is not a name, a connection, a path or a URL is longer.
    const MAX_SHOWN_CHARS: usize = 23;
    /// A key or password without a separator may be as short as the first one that is hidden.
    const MAX_SHOWN_WORD_CHARS: usize = 15;
    const MAX_SHOWN_NUMBER_CHARS: usize = 40;
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':' | b'-'));
    let max_shown = if is_number {
        MAX_SHOWN_NUMBER_CHARS
    } else if value.contains([' ', ':']) {
        MAX_SHOWN_CHARS
    } else {
        MAX_SHOWN_WORD_CHARS
    };
    let lowercase = value.to_ascii_lowercase();
    value.chars().count() > max_shown
        || ["key=", "sig=", "accountkey", "sharedaccess", "password="].iter().any(|sign| lowercase.contains(sign))
}
