//! An overview of the queue: each dead letter once, or counts by group.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Entry, Filter, Identity, MessageAction, MessageVisitor, ScanError, Summary, VisitResult};

/// The dead letters that a filter matches, and the messages that are not dead letters.
#[derive(Debug, Default)]
pub struct Overview {
    filter: Filter,
    /// In the order of the queue.
    entries: Vec<ListEntry>,
    /// The index in `entries` of each dead letter.
    index_by_identity: HashMap<Identity, usize>,
    /// Messages that are not dead letters.
    foreign: Vec<Summary>,
    unmatched: u64,
}

/// A dead letter of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListEntry {
    /// The summary of its first message.
    #[serde(flatten)]
    pub summary: Summary,
    /// How many more messages hold it: the host may repeat a reply, and so its messages.
    pub repeats: u64,
}

/// How dead letters are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// By issue, without names and numbers.
    Issue,
    /// By device.
    Device,
    /// By the stage at which they failed.
    Stage,
    /// By partition.
    Partition,
}

impl GroupBy {
    /// Returns the name of the member that holds the group in JSON.
    fn member(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Device => "device",
            Self::Stage => "stage",
            Self::Partition => "partition",
        }
    }
}

/// A group of dead letters. In JSON, the group's value is in the member `issue`, `device`, `stage` or `partition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The property by which the dead letters are grouped.
    pub by: GroupBy,
    /// The value that its dead letters share.
    pub value: String,
    /// How many dead letters it has.
    pub count: u64,
    /// When the first of them failed, in UTC.
    pub first: String,
    /// When the last of them failed, in UTC.
    pub last: String,
    /// The id of one of them.
    pub example: String,
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry(self.by.member(), &self.value)?;
        map.serialize_entry("count", &self.count)?;
        map.serialize_entry("first", &self.first)?;
        map.serialize_entry("last", &self.last)?;
        map.serialize_entry("example", &self.example)?;
        map.end()
    }
}

impl Overview {
    /// Creates an empty overview of the dead letters that a filter matches.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// Adds a message.
    pub fn add(&mut self, entry: &Entry) {
        let summary = entry.summary();
        let Some(identity) = entry.identity().cloned() else { return self.foreign.push(summary) };
        if !self.filter.selects(entry) {
            self.unmatched += 1;
            return;
        }
        if let Some(index) = self.index_by_identity.get(&identity) {
            self.entries[*index].repeats += 1;
        } else {
            self.index_by_identity.insert(identity, self.entries.len());
            self.entries.push(ListEntry { summary, repeats: 0 });
        }
    }

    /// Returns the dead letters, in the order of the queue.
    #[must_use]
    pub fn entries(&self) -> &[ListEntry] {
        &self.entries
    }

    /// Returns the messages that are not dead letters, for any filter.
    #[must_use]
    pub fn foreign(&self) -> &[Summary] {
        &self.foreign
    }

    /// Returns how many dead letters the filter does not match.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Returns how many messages repeat others.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.entries.iter().map(|entry| entry.repeats).sum()
    }

    /// Returns when the queue deletes the first of these messages, in UTC; `None` for never.
    #[must_use]
    pub fn first_expiration(&self) -> Option<&str> {
        let entries = self.entries.iter().map(|entry| &entry.summary);
        entries.chain(&self.foreign).filter_map(|summary| summary.expiration_time.as_deref()).min()
    }

    /// Returns the dead letters in groups, the largest first.
    #[must_use]
    pub fn groups(&self, by: GroupBy) -> Vec<Group> {
        let mut groups: HashMap<String, Group> = HashMap::new();
        for ListEntry { summary, .. } in &self.entries {
            let key = match by {
                GroupBy::Issue => without_names_and_numbers(&summary.issue),
                GroupBy::Device => summary.device().unwrap_or_default().to_owned(),
                GroupBy::Stage => summary.stage.map(|stage| stage.to_string()).unwrap_or_default(),
                // A queue with sessions counts as one partition.
                GroupBy::Partition if !summary.session_queue_name.is_empty() => summary.session_queue_name.clone(),
                GroupBy::Partition => summary.partition_id.clone(),
            };
            let time = &summary.time;
            let exact = if by == GroupBy::Issue { summary.issue.clone() } else { key.clone() };
            let group = groups.entry(key.clone()).or_insert_with(|| Group {
                by,
                value: exact.clone(),
                count: 0,
                first: time.clone(),
                last: time.clone(),
                example: summary.id.clone().unwrap_or_default(),
            });
            group.count += 1;
            // The exact text is kept only while all of them have it.
            if group.value != exact {
                group.value = key;
            }
            group.first = group.first.clone().min(time.clone());
            group.last = group.last.clone().max(time.clone());
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        groups
    }
}

/// An overview changes nothing: each message is kept.
#[async_trait]
impl MessageVisitor for Overview {
    async fn visit(&mut self, entries: &[Entry]) -> Result<VisitResult, ScanError> {
        for entry in entries {
            self.add(entry);
        }
        Ok(VisitResult { actions: vec![MessageAction::Keep; entries.len()], is_complete: false })
    }
}

/// Returns an issue without what differs between events: quoted text becomes `…`, and numbers become `#`.
#[must_use]
pub fn without_names_and_numbers(issue: &str) -> String {
    let mut kind = String::with_capacity(issue.len());
    let mut characters = issue.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                kind.push('…');
                while characters.next().is_some_and(|quoted| quoted != '"') {}
            }
            // A digit within a word, such as base64, belongs to the word.
            digit if digit.is_ascii_digit() && !before.is_alphanumeric() => {
                kind.push('#');
                let is_of_number = |next: &char| next.is_ascii_digit() || *next == '.';
                while characters.next_if(is_of_number).is_some() {}
            }
            other => kind.push(other),
        }
        before = character;
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::without_names_and_numbers as kind;

    #[test]
    fn issues_that_differ_only_in_names_and_numbers_are_one_kind() {
        assert_eq!(kind("flight mode 99 is undefined"), kind("flight mode 1234 is undefined"));
        assert_eq!(kind("the state document \"drone-7\" was not written"), "the state document … was not written");
        assert_ne!(kind("no valid base64"), kind("no valid base32"));
        assert_eq!(kind("an \"open quote"), "an …");
        assert_eq!(kind("größe 1.5 m"), "größe # m");
    }
}
