//! The dead letters of the page: read without hiding them from others, in groups, each with the command that repairs it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use devicestate_dead_letters::{Entry, Overview, Summary, without_names_and_numbers};
use devicestate_engine::{
    failure::{ErrorClass, Stage},
    queue::{MAX_RECEIVE_COUNT, QueueError},
    text::{time_ms, truncated},
};
use devicestate_terminal::shell_quoted;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::{Commands, DeadLetters, shared::Shared};

/// The time between two reads of the queue.
const EVERY: Duration = Duration::from_secs(2);

/// Limits the time of one operation of the queue.
const QUEUE_TIME: Duration = Duration::from_secs(30);

/// Limits the messages that are read.
const MAX_MESSAGES: usize = 1_000;

/// Limits the bodies of the messages that are read, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Limits the groups.
const MAX_GROUPS: usize = 100;

/// Limits the devices of a group.
const MAX_GROUP_DEVICES: usize = 5;

/// Limits the dead letters of one device.
const MAX_DEVICE_LETTERS: usize = 20;

/// Limits the part of an issue that a command contains, in characters.
const MAX_PATTERN_CHARS: usize = 200;

/// The dead letters, as they were read last.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Letters {
    /// The data of the event, as JSON.
    pub(crate) event: String,
    entries: Vec<Summary>,
    commands: Commands,
}

/// The data of the event `deadLetters`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    /// The number of messages in the queue.
    total: u64,
    /// How many of them are in the groups.
    examined: usize,
    groups: Vec<Group>,
    /// Why the queue cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    issue: String,
    error_class: Option<ErrorClass>,
    stage: Option<Stage>,
    count: u64,
    devices: Vec<String>,
    oldest_ms: i64,
    command: String,
}

/// A dead letter of one device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter<'a> {
    id: &'a str,
    inserted_ms: i64,
    issue: &'a str,
    error_class: Option<ErrorClass>,
    stage: Option<Stage>,
    sequence_number: Option<i64>,
    partition: Option<&'a str>,
    command: String,
}

/// Reads the queue until it is dropped.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let Some(letters) = &shared.options.dead_letters else { return };
    loop {
        // Each read of a Storage queue costs a transaction.
        if shared.has_readers() {
            let read = timeout(QUEUE_TIME, Letters::read(letters)).await;
            let late = |_| format!("it did not answer within {} s", QUEUE_TIME.as_secs());
            let read = read.map_err(late).and_then(|read| read.map_err(|error| error.to_string()));
            shared.set_letters(read.unwrap_or_else(|error| Letters::failed(&error, letters)));
        }
        sleep(EVERY).await;
    }
}

impl Letters {
    async fn read(DeadLetters { queue, commands }: &DeadLetters) -> Result<Self, QueueError> {
        let mut overview = Overview::default();
        let (mut after, mut examined, mut bytes) = (None::<String>, 0, 0);
        while examined < MAX_MESSAGES && bytes < MAX_BYTES {
            let messages = queue.peek_after(after.as_deref(), MAX_RECEIVE_COUNT).await?;
            let Some(last) = messages.last() else { break };
            after = Some(last.id.clone());
            examined += messages.len();
            for message in messages {
                bytes += message.body.len();
                overview.add(&Entry::parse(message));
            }
        }
        let total = queue.count().await?.max(examined as u64);
        let letters = overview.entries().iter().map(|entry| &entry.summary);
        let entries: Vec<_> = letters.chain(overview.foreign()).cloned().collect();
        let event = Event { total, examined, groups: groups(&entries, commands), problem: None };
        Ok(Self { event: to_json(&event), entries, commands: commands.clone() })
    }

    fn failed(error: &str, DeadLetters { queue, commands }: &DeadLetters) -> Self {
        let problem = truncated(&format!("the dead letters in {} cannot be read: {error}", queue.name()));
        let event = to_json(&Event { problem: Some(problem), ..Event::default() });
        Self { event, entries: Vec::new(), commands: commands.clone() }
    }

    /// Returns the first dead letters of a device, and how many of those that were read it has.
    pub(crate) fn of_device(&self, device: &str) -> (Vec<Letter<'_>>, usize) {
        let of_device = self.entries.iter().filter(|summary| summary.device() == Some(device));
        let mut letters: Vec<_> = of_device.filter_map(|summary| self.letter(summary)).collect();
        let count = letters.len();
        letters.truncate(MAX_DEVICE_LETTERS);
        (letters, count)
    }

    fn letter<'a>(&self, summary: &'a Summary) -> Option<Letter<'a>> {
        let id = summary.id.as_deref()?;
        Some(Letter {
            id,
            inserted_ms: time_ms(&summary.inserted_time).unwrap_or_default(),
            issue: &summary.issue,
            error_class: summary.error_class,
            stage: summary.stage,
            sequence_number: summary.sequence_number,
            partition: Some(&*summary.partition_id).filter(|partition| !partition.is_empty()),
            command: self.commands.command(&format!("show {id}")),
        })
    }
}

fn to_json(event: &Event) -> String {
    serde_json::to_string(event).expect("texts and numbers are always JSON")
}

/// Returns the groups of dead letters with the same issue, class and stage, the largest first.
fn groups(entries: &[Summary], commands: &Commands) -> Vec<Group> {
    let mut groups = HashMap::new();
    for summary in entries {
        let kind = without_names_and_numbers(&summary.issue);
        let key = (kind, summary.error_class.map(|class| format!("{class:?}")), summary.stage.map(|s| s.to_string()));
        let inserted_ms = time_ms(&summary.inserted_time).unwrap_or_default();
        let (group, first) = groups.entry(key).or_insert_with_key(|(kind, ..)| {
            let group = Group {
                issue: summary.issue.clone(),
                error_class: summary.error_class,
                stage: summary.stage,
                count: 0,
                devices: Vec::new(),
                oldest_ms: inserted_ms,
                command: commands.command(&repair(summary, kind)),
            };
            (group, summary)
        });
        group.count += 1;
        group.oldest_ms = group.oldest_ms.min(inserted_ms);
        // The exact text is shown only while all of them have it.
        if first.issue != summary.issue {
            group.issue = without_names_and_numbers(&summary.issue);
        }
        if let Some(device) = summary.device()
            && group.devices.len() < MAX_GROUP_DEVICES
            && group.devices.iter().all(|held| held != device)
        {
            group.devices.push(device.to_owned());
        }
    }
    let mut groups: Vec<_> = groups.into_values().map(|(group, _)| group).collect();
    groups.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.issue.cmp(&other.issue)));
    groups.truncate(MAX_GROUPS);
    groups
}

/// Returns the subcommand that repairs a group, which begins as a dry run.
fn repair(summary: &Summary, kind: &str) -> String {
    if summary.id.is_none() {
        // Not a dead letter: only its message id selects it.
        return format!("discard --message {}", shell_quoted(&summary.message_id));
    }
    format!("replay --issue {}", shell_quoted(&pattern(kind)))
}

impl Commands {
    fn command(&self, subcommand: &str) -> String {
        format!("{} dead-letters {subcommand}{}", self.program, self.options)
    }
}

/// Returns the regular expression of the issues of a kind.
fn pattern(kind: &str) -> String {
    let end = if kind.chars().nth(MAX_PATTERN_CHARS).is_none() { "$" } else { "" };
    let mut pattern = String::from("^");
    for character in kind.chars().take(MAX_PATTERN_CHARS) {
        match character {
            '…' => pattern.push_str(".*"),
            '#' => pattern.push_str("[0-9.]+"),
            _ if r"\.+*?()|[]{}^$".contains(character) => pattern.extend(['\\', character]),
            _ => pattern.push(character),
        }
    }
    pattern + end
}

#[cfg(test)]
mod tests;
