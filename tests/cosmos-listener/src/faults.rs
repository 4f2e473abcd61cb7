//! The faults that tests ask for.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    answer::Answer,
    operation::{Kind, Operation},
};

/// What happens to a request in place of its being executed and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// It is answered this status, and not executed.
    Status,
    /// It is executed, and the answer never arrives (or is another one, where the rule has a status).
    LoseAnswer,
    /// Its connection is cut, and it is not executed.
    Cut,
    /// It is executed later.
    Delay,
}

/// Which requests a rule is about, besides what it lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "operations are \"all\" or a list of kinds (see --help)")]
enum Operations {
    One(Named),
    Several(BTreeSet<Named>),
}

/// A kind, or the word for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Named {
    Kind(Kind),
    All(All),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

/// A fault and the requests that it befalls.
///
/// Unknown fields are errors: a misspelt one would make a test pass without its fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    kind: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_charge: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operations: Option<Operations>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_ms: Option<u64>,
}

impl Rule {
    /// What is missing for this kind of fault, in words.
    fn check(&self) -> Result<(), &'static str> {
        match self.kind {
            Effect::Status if self.status.is_none() => Err("a fault of kind status needs a status"),
            Effect::Delay if self.delay_ms.is_none() => Err("a fault of kind delay needs delayMs"),
            _ if self.status.is_some_and(|status| !(200..600).contains(&status)) => Err("no status of HTTP's"),
            _ => Ok(()),
        }
    }

    /// What happens.
    pub(crate) fn effect(&self) -> Effect {
        self.kind
    }

    /// How long it waits first: any fault may come late.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(0))
    }

    /// Its own answer. `really` is the one that it takes the place of, whose price was due all the same.
    pub(crate) fn answer(&self, really: Option<&Answer>) -> Option<Answer> {
        let status = StatusCode::from_u16(self.status?).expect("checked when the rule was set");
        let message = "A fault that a test asked for.";
        let charge = self.request_charge.unwrap_or_else(|| really.map_or(0.0, Answer::charge));
        let mut answer = Answer::error(status, message).with_charge(charge);
        if let Some(sub_status) = self.sub_status {
            answer = answer.with_sub_status(sub_status);
        }
        if let Some(retry_after) = self.retry_after_ms {
            answer = answer.with("x-ms-retry-after-ms", &retry_after);
        }
        Some(answer)
    }

    fn is_about(&self, operation: &Operation) -> bool {
        let kind = Named::Kind(operation.kind);
        let all = Named::All(All::All);
        let is_document = operation.kind != Kind::Metadata;
        let by_kind = match &self.operations {
            None => is_document,
            Some(Operations::One(named)) => *named == kind || *named == all,
            Some(Operations::Several(named)) if named.is_empty() => is_document,
            Some(Operations::Several(named)) => named.contains(&kind) || named.contains(&all),
        };
        by_kind && self.ids.as_ref().is_none_or(|ids| operation.id.as_ref().is_some_and(|id| ids.contains(id)))
    }
}

/// A rule and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fault {
    /// Its number, by which it can be removed.
    number: u64,
    #[serde(flatten)]
    rule: Rule,
    /// How many requests it let pass first.
    skipped: u64,
    /// How many requests it befell.
    applied: u64,
    #[serde(skip)]
    set: Instant,
}

impl Fault {
    /// Whether it befalls this request; counts it.
    fn befalls(&mut self, operation: &Operation) -> bool {
        let is_over = self.rule.next.is_some_and(|next| self.applied >= next)
            || self.rule.for_ms.is_some_and(|limit| self.set.elapsed() >= Duration::from_millis(limit));
        if is_over || !self.rule.is_about(operation) {
            return false;
        }
        if self.skipped < self.rule.skip.unwrap_or(0) {
            self.skipped += 1;
            return false;
        }
        self.applied += 1;
        true
    }
}

/// The rules, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<(u64, Vec<Fault>)>);

impl Faults {
    /// Adds a rule, behind those there are, and tells its number.
    pub(crate) fn add(&self, rule: Rule) -> Result<u64, &'static str> {
        rule.check()?;
        let mut faults = self.faults();
        faults.0 += 1;
        let number = faults.0;
        faults.1.push(Fault { number, rule, skipped: 0, applied: 0, set: Instant::now() });
        Ok(number)
    }

    /// The first rule that befalls this request.
    pub(crate) fn befalling(&self, operation: &Operation) -> Option<Rule> {
        self.faults().1.iter_mut().find_map(|fault| fault.befalls(operation).then(|| fault.rule.clone()))
    }

    /// All rules, those that are over included: their counts are what tests look at.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.faults().1.clone()
    }

    /// Removes all rules.
    pub(crate) fn clear(&self) {
        self.faults().1.clear();
    }

    /// Removes one rule; tells whether there was one.
    pub(crate) fn remove(&self, number: u64) -> bool {
        let mut faults = self.faults();
        let before = faults.1.len();
        faults.1.retain(|fault| fault.number != number);
        faults.1.len() < before
    }

    fn faults(&self) -> MutexGuard<'_, (u64, Vec<Fault>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
