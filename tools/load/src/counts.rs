//! What the handler itself says that it did with the events.

use std::{
    ops::{AddAssign, Sub},
    sync::LazyLock,
};

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::error::{Failure, truncated};

/// Events, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) applied: u64,
    pub(crate) superseded: u64,
    pub(crate) dead_lettered: u64,
}

impl Counts {
    /// What the body of `GET /state` says.
    pub(crate) fn of_state(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// What an answer to a batch says of its events, where it says anything.
    pub(crate) fn of_answer((status, body): (u16, &[u8])) -> Result<Self, Failure> {
        match status {
            200 if body.is_empty() => Err(Failure::Empty),
            200 => Ok(Self::of_reply(body).unwrap_or_default()),
            status => Err(Failure::Status { status, body: truncated(body) }),
        }
    }

    /// What the record of the batch says in the `Logs` of a reply; `None` where there is none.
    ///
    /// It is looked for in the bytes, since to read the whole reply would cost more than all else that the driver does
    /// for a small batch. A record is a line of JSON in a string of JSON, so its quotes are escaped.
    fn of_reply(body: &[u8]) -> Option<Self> {
        const NAMES: [&str; 4] =
            [r#"\"record\":\"batch\""#, r#"\"applied\":"#, r#"\"superseded\":"#, r#"\"deadLettered\":"#];
        static FINDERS: LazyLock<[Finder; 4]> = LazyLock::new(|| NAMES.map(Finder::new));
        let [record, counts @ ..] = &*FINDERS;
        let mut rest = &body[record.find(body)?..];
        let mut number = |finder: &Finder| {
            rest = &rest[finder.find(rest)? + finder.needle().len()..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            Some(digits.fold(0, |number: u64, digit| number.wrapping_mul(10) + u64::from(digit - b'0')))
        };
        let [applied, superseded, dead_lettered] = counts.each_ref().map(&mut number);
        Some(Self { applied: applied?, superseded: superseded?, dead_lettered: dead_lettered? })
    }

    pub(crate) fn sum(self) -> u64 {
        self.applied + self.superseded + self.dead_lettered
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.applied += other.applied;
        self.superseded += other.superseded;
        self.dead_lettered += other.dead_lettered;
    }
}

impl Sub for Counts {
    type Output = Self;

    /// A handler that was started anew counts from 0 again: that is less than before, and so nothing.
    fn sub(self, before: Self) -> Self {
        Self {
            applied: self.applied.saturating_sub(before.applied),
            superseded: self.superseded.saturating_sub(before.superseded),
            dead_lettered: self.dead_lettered.saturating_sub(before.dead_lettered),
        }
    }
}
