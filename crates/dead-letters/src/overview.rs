//! What is in the queue, at a glance: each dead letter once, alone or in groups of a kind.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Serialize;

use super::{Entry, Filter, Judge, Judged, Summary, TriageError, sweep::Fate};

/// The dead letters that are meant, and the messages that are none.
#[derive(Debug, Default)]
pub struct Overview {
    filter: Filter,
    /// In the order in which they came.
    letters: Vec<Listed>,
    places: HashMap<String, usize>,
    /// Messages that are no dead letters.
    foreign: Vec<Summary>,
    others: u64,
}

/// A dead letter of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// What its first message tells.
    #[serde(flatten)]
    pub summary: Summary,
    /// In how many more messages it lies: puts into the queue are not atomic, and replies can be repeated.
    pub repeats: u64,
}

/// By what dead letters are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// What happened, names and numbers left out.
    Issue,
    /// The device.
    Device,
    /// Where they failed.
    Stage,
    /// The partition.
    Partition,
}

/// Dead letters of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Group {
    /// What they have in common.
    pub group: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them failed, in UTC.
    pub first: String,
    /// When the last of them failed, in UTC.
    pub last: String,
    /// One of them.
    pub example: String,
}

impl Overview {
    /// Of the dead letters that this filter means.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// Takes a message into account.
    pub fn add(&mut self, entry: &Entry) {
        let summary = entry.summary();
        let Some(id) = summary.id.clone() else { return self.foreign.push(summary) };
        if !self.filter.means(&summary) {
            self.others += 1;
            return;
        }
        if let Some(place) = self.places.get(&id) {
            self.letters[*place].repeats += 1;
        } else {
            self.places.insert(id, self.letters.len());
            self.letters.push(Listed { summary, repeats: 0 });
        }
    }

    /// The dead letters, in the order in which they came.
    #[must_use]
    pub fn letters(&self) -> &[Listed] {
        &self.letters
    }

    /// The messages that are no dead letters, whatever the filter.
    #[must_use]
    pub fn foreign(&self) -> &[Summary] {
        &self.foreign
    }

    /// How many messages the filter does not mean.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// How many messages are repeats of others.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.letters.iter().map(|letter| letter.repeats).sum()
    }

    /// When the queue forgets the first of all these messages, in UTC; `None` for never.
    #[must_use]
    pub fn first_expiration(&self) -> Option<&str> {
        let letters = self.letters.iter().map(|letter| &letter.summary);
        letters.chain(&self.foreign).filter_map(|summary| summary.expiration_time.as_deref()).min()
    }

    /// The dead letters in groups, the largest first.
    #[must_use]
    pub fn groups(&self, by: GroupBy) -> Vec<Group> {
        let mut groups: HashMap<String, Group> = HashMap::new();
        for Listed { summary, .. } in &self.letters {
            let name = match by {
                GroupBy::Issue => kind(&summary.issue),
                GroupBy::Device => summary.device().unwrap_or_default().to_owned(),
                GroupBy::Stage => summary.stage.map(|stage| stage.to_string()).unwrap_or_default(),
                // A queue with sessions is one partition.
                GroupBy::Partition if !summary.session_queue_name.is_empty() => summary.session_queue_name.clone(),
                GroupBy::Partition => summary.partition_id.clone(),
            };
            let time = &summary.time;
            let exact = if by == GroupBy::Issue { summary.issue.clone() } else { name.clone() };
            let group = groups.entry(name.clone()).or_insert_with(|| Group {
                group: exact.clone(),
                count: 0,
                first: time.clone(),
                last: time.clone(),
                example: summary.id.clone().unwrap_or_default(),
            });
            group.count += 1;
            // What all of them say word for word is told so.
            if group.group != exact {
                group.group = name;
            }
            group.first = group.first.clone().min(time.clone());
            group.last = group.last.clone().max(time.clone());
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.group.cmp(&b.group)));
        groups
    }
}

/// Looking changes nothing: each message is given back.
#[async_trait]
impl Judge for Overview {
    async fn judge(&mut self, entries: &[Entry]) -> Result<Judged, TriageError> {
        for entry in entries {
            self.add(entry);
        }
        Ok(Judged { fates: vec![Fate::Keep; entries.len()], is_enough: false })
    }
}

/// An issue without what differs from one event to the next: what stands in quotes, and numbers.
pub(super) fn kind(issue: &str) -> String {
    let mut kind = String::with_capacity(issue.len());
    let mut characters = issue.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                kind.push('…');
                while characters.next().is_some_and(|quoted| quoted != '"') {}
            }
            // A digit within a word, as of base64, belongs to the word.
            digit if digit.is_ascii_digit() && !before.is_alphanumeric() => {
                kind.push('#');
                let of_number = |next: &char| next.is_ascii_digit() || *next == '.';
                while characters.next_if(of_number).is_some() {}
            }
            other => kind.push(other),
        }
        before = character;
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn issues_that_differ_in_names_and_numbers_only_are_of_one_kind() {
        assert_eq!(kind("flight mode 99 is undefined"), kind("flight mode 1234 is undefined"));
        assert_eq!(kind("the state document \"drone-7\" was not written"), "the state document … was not written");
        assert_ne!(kind("no valid base64"), kind("no valid base32"));
        assert_eq!(kind("an \"open quote"), "an …");
        assert_eq!(kind("größe 1.5 m"), "größe # m");
    }
}
