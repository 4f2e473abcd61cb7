//! App settings: what the host hands to the handler as environment variables, and what can be wrong with them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::timespan;

/// App settings, as the host hands them to the handler: environment variables.
///
/// Has no `Debug`: among them are the secrets of other programs' connections.
#[derive(Clone, Default)]
pub struct Settings {
    values: HashMap<String, String>,
    /// Which names were looked up, by this or a clone of it.
    names_read: Arc<Mutex<BTreeSet<String>>>,
}

impl Settings {
    /// The settings of this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        // What is not Unicode cannot be a setting of ours, and is no reason to fail.
        let text =
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Self { values: text.collect(), names_read: Arc::default() }
    }

    /// A setting's value; an empty one counts as absent, as for the host.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.names_read.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names that were looked up so far, whether they were there or not.
    #[must_use]
    pub fn names_read(&self) -> BTreeSet<String> {
        self.names_read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Settings that nobody looked up, each with the one that was meant: the same but for upper and lower case, or for
    /// `:` in place of `__`. On Linux both make another name, and what was set has no effect, without a word.
    #[must_use]
    pub fn misspelled(&self) -> Vec<(&str, String)> {
        let names_read = self.names_read();
        let is_meant = |set: &str, name: &str| set.replace(':', "__").eq_ignore_ascii_case(name);
        let unread = self.values.keys().filter(|set| !names_read.contains(*set));
        let mut pairs: Vec<_> = unread
            .filter_map(|set| {
                let meant = names_read.iter().find(|name| is_meant(set, name) && !self.values.contains_key(*name))?;
                Some((set.as_str(), meant.clone()))
            })
            .collect();
        pairs.sort();
        pairs
    }

    /// Adds a setting if it is not there: the environment has precedence, as with Core Tools.
    pub fn add_default(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.entry(name.into()).or_insert_with(|| value.into());
    }

    /// Whether a connection of this name is made of several settings, `Name__…`.
    #[must_use]
    pub fn has_parts_of(&self, name: &str) -> bool {
        self.values.keys().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with("__")))
    }

    /// Sets a setting, whatever it was.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// All settings, as the environment of a process.
    #[must_use]
    pub fn to_environment(&self) -> Vec<(String, String)> {
        self.values.clone().into_iter().collect()
    }

    /// Replaces `%Name%` by that setting, as the host does in bindings.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] for a setting that is not there.
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

    /// Parses a setting; `default` when it is not there.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`], when `parse` makes nothing of it.
    pub fn parse<T>(
        &self,
        setting: &'static str,
        default: T,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.get(setting) else { return Ok(default) };
        parse(value).ok_or_else(|| ConfigError::Invalid { setting, value: value.to_owned(), expected })
    }
}

/// What is wrong with the settings. No value of a setting that may hold a secret is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting is needed and is not there.
    #[error("the setting {setting} is missing: {why}")]
    Missing {
        /// Its name.
        setting: String,
        /// What it is for.
        why: &'static str,
    },
    /// A setting has a value that makes no sense.
    #[error("the setting {setting} is {value:?}: it must be {expected}")]
    Invalid {
        /// Its name.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A connection cannot be made of a setting. Says what is wrong with it and never what it is.
    #[error("the setting {setting} {problem}")]
    Connection {
        /// Its name.
        setting: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two settings contradict each other.
    #[error(
        "the setting InvocationBudget ({}) and 20 ms for each of the {max_event_batch_size} possible dead letters of a \
         batch (maxEventBatchSize) must together stay below functionTimeout ({}) of host.json: lower InvocationBudget \
         or raise functionTimeout", timespan::format(*budget), timespan::format(*function_timeout)
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
    /// A setting that is needed and not there.
    #[must_use]
    pub fn missing(setting: &str, why: &'static str) -> Self {
        Self::Missing { setting: setting.to_owned(), why }
    }
}
