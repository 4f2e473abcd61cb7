//! The handler's own counts of events.

use std::{
    ops::{AddAssign, Sub},
    sync::LazyLock,
};

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::error::{RequestError, truncated};

/// Numbers of events by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) applied: u64,
    pub(crate) superseded: u64,
    pub(crate) dead_lettered: u64,
}

impl Counts {
    /// Reads the body of `GET /state`; `None` if it has no counts.
    pub(crate) fn from_state(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Reads the reply to a batch; the counts are zero if the reply has no batch record.
    ///
    /// # Errors
    ///
    /// The status is not 200, or the body is empty.
    pub(crate) fn from_reply_status((status, body): (u16, &[u8])) -> Result<Self, RequestError> {
        match status {
            200 if body.is_empty() => Err(RequestError::Empty),
            200 => Ok(Self::from_records(body).unwrap_or_default()),
            status => Err(RequestError::Status { status, body: truncated(body) }),
        }
    }

    /// Returns the counts of the batch record in a reply's `Logs`; `None` if there is no batch record.
    ///
    /// It searches the bytes: parsing the complete reply would cost more than everything else that the driver does for a
    /// small batch. A record is a line of JSON in a JSON string, so its quotes are escaped.
    fn from_records(body: &[u8]) -> Option<Self> {
        const NAMES: [&str; 4] =
            [r#"\"record\":\"batch\""#, r#"\"applied\":"#, r#"\"superseded\":"#, r#"\"deadLettered\":"#];
        static FINDERS: LazyLock<[Finder; 4]> = LazyLock::new(|| NAMES.map(Finder::new));
        let [record, counts @ ..] = &*FINDERS;
        let mut rest = &body[record.find(body)?..];
        let [applied, superseded, dead_lettered] = counts.each_ref().map(|finder| number_after(finder, &mut rest));
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

    /// A restarted handler counts from 0 again, which is less than before; the difference is then 0.
    fn sub(self, before: Self) -> Self {
        Self {
            applied: self.applied.saturating_sub(before.applied),
            superseded: self.superseded.saturating_sub(before.superseded),
            dead_lettered: self.dead_lettered.saturating_sub(before.dead_lettered),
        }
    }
}

/// Returns the number of decoded records in the batch record of a reply's `Logs`; `None` if it has none.
pub(crate) fn decoded_records(body: &[u8]) -> Option<u64> {
    const NAMES: [&str; 2] = [r#"\"record\":\"batch\""#, r#"\"records\":"#];
    static FINDERS: LazyLock<[Finder; 2]> = LazyLock::new(|| NAMES.map(Finder::new));
    let [record, records] = &*FINDERS;
    number_after(records, &mut &body[record.find(body)?..])
}

/// Returns the number after this text; `rest` begins with it then.
fn number_after(finder: &Finder, rest: &mut &[u8]) -> Option<u64> {
    *rest = &rest[finder.find(rest)? + finder.needle().len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number: u64, digit| number.wrapping_mul(10) + u64::from(digit - b'0')))
}
