//! The faults that tests inject.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    operation::{Kind, Operation},
    response::CosmosResponse,
};

/// How a fault changes the handling of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effect {
    /// Responds with a status, without executing the request.
    Status,
    /// Executes the request, and drops the response or replaces it if the rule has a status.
    DropResponse,
    /// Closes the connection, without executing the request.
    Disconnect,
    /// Executes the request later.
    Delay,
}

/// The kinds of requests to which a rule applies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "operations are \"all\" or a list of kinds (see --help)")]
enum Operations {
    One(Named),
    Several(BTreeSet<Named>),
}

/// A kind, or `all`.
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

/// A fault and the requests to which it applies.
///
/// Unknown fields are errors: with a misspelled one, a test would pass without its fault.
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
    /// Checks that the rule has the fields that its kind requires.
    fn check(&self) -> Result<(), &'static str> {
        match self.kind {
            Effect::Status if self.status.is_none() => Err("a fault of kind status needs a status"),
            Effect::Delay if self.delay_ms.is_none() => Err("a fault of kind delay needs delayMs"),
            _ if self.status.is_some_and(|status| !(200..600).contains(&status)) => {
                Err("the status must be from 200 to 599")
            }
            _ => Ok(()),
        }
    }

    /// Returns the kind of the fault.
    pub(crate) fn effect(&self) -> Effect {
        self.kind
    }

    /// Returns the delay before the fault; every kind may have one.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(0))
    }

    /// Returns the fault's own response, if it has a status. It replaces `original`, whose charge is due in any case.
    pub(crate) fn response(&self, original: Option<&CosmosResponse>) -> Option<CosmosResponse> {
        let status = StatusCode::from_u16(self.status?).expect("checked when the rule was set");
        let message = "A fault that a test injected.";
        let charge = self.request_charge.unwrap_or_else(|| original.map_or(0.0, CosmosResponse::charge));
        let mut response = CosmosResponse::error(status, message).with_charge(charge);
        if let Some(sub_status) = self.sub_status {
            response = response.with_sub_status(sub_status);
        }
        if let Some(retry_after) = self.retry_after_ms {
            response = response.with("x-ms-retry-after-ms", &retry_after);
        }
        Some(response)
    }

    fn applies_to(&self, operation: &Operation) -> bool {
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

/// A rule with its counts.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fault {
    /// The number by which it can be removed.
    number: u64,
    #[serde(flatten)]
    rule: Rule,
    /// The count of requests that it skipped.
    skipped: u64,
    /// The count of requests to which it was applied.
    applied: u64,
    #[serde(skip)]
    set: Instant,
}

impl Fault {
    /// Returns whether the fault applies to this request, and counts it.
    fn try_apply(&mut self, operation: &Operation) -> bool {
        let is_over = self.rule.next.is_some_and(|next| self.applied >= next)
            || self.rule.for_ms.is_some_and(|limit| self.set.elapsed() >= Duration::from_millis(limit));
        if is_over || !self.rule.applies_to(operation) {
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

/// The faults of an account.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<FaultList>);

#[derive(Debug, Default)]
struct FaultList {
    last_number: u64,
    /// Oldest first.
    faults: Vec<Fault>,
}

impl Faults {
    /// Adds a rule after the existing ones. Returns its number.
    pub(crate) fn add(&self, rule: Rule) -> Result<u64, &'static str> {
        rule.check()?;
        let mut list = self.lock();
        list.last_number += 1;
        let number = list.last_number;
        list.faults.push(Fault { number, rule, skipped: 0, applied: 0, set: Instant::now() });
        Ok(number)
    }

    /// Returns the first rule that applies to this request, and counts the request.
    pub(crate) fn matching(&self, operation: &Operation) -> Option<Rule> {
        self.lock().faults.iter_mut().find_map(|fault| fault.try_apply(operation).then(|| fault.rule.clone()))
    }

    /// Returns all faults with their counts, including those that have ended.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.lock().faults.clone()
    }

    /// Removes all rules.
    pub(crate) fn clear(&self) {
        self.lock().faults.clear();
    }

    /// Removes a rule. Returns whether it existed.
    pub(crate) fn remove(&self, number: u64) -> bool {
        let mut list = self.lock();
        let before = list.faults.len();
        list.faults.retain(|fault| fault.number != number);
        list.faults.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, FaultList> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
