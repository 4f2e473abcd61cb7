//! `dead-letters list`.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use devicestate_dead_letters::{Entry, Group, GroupBy, ListEntry, MAX_REPLAYS, Overview, ScanSummary, Summary};
use devicestate_engine::{
    clock::{Clock as _, System},
    queue::{DeadLetterQueue, MAX_RECEIVE_COUNT},
};
use devicestate_terminal::{CommandError, Output, OutputOption, Table, count_of, print, print_message};

use super::{context::Context, progress, select::Selection};

pub(super) const COMMAND: &str = "dead-letters list";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters list --group-by issue
  devicestate dead-letters list --device drone-7 --since 2h
  devicestate dead-letters list --issue 'flight mode' -o jsonl
  devicestate dead-letters list --peek

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Show only the first 32 messages, and do not receive them
    #[arg(long, help_heading = "Selection")]
    pub(super) peek: bool,
    /// Show the first 32 messages of the queue's copy in the other region (RA-GRS)
    #[arg(long, help_heading = "Selection")]
    secondary: bool,
    /// Count dead letters in groups
    #[arg(long, value_enum, value_name = "KEY", help_heading = "Output")]
    group_by: Option<GroupKey>,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GroupKey {
    Issue,
    Device,
    Stage,
    Partition,
}

/// How many digits of an id a table shows.
const SHORT_ID_DIGITS: usize = 12;

/// How many characters of an issue are on a line of a table on a terminal.
const MAX_ISSUE_CHARS: usize = 80;

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let filter = self.selection.filter(System.now_ms());
        let mut overview = Overview::new(filter.clone());
        let scan = if self.secondary {
            peek(&context.secondary()?, &mut overview).await?;
            None
        } else if self.peek {
            peek(&*context.queue, &mut overview).await?;
            None
        } else {
            Some(progress::scan(context, None, &mut overview).await?)
        };
        let foreign: Vec<_> =
            overview.foreign().iter().filter(|summary| filter.should_export(summary)).cloned().collect();
        let result = scan.map_or(Ok(()), progress::check_not_stopped);
        match (self.output.output, self.group_by) {
            (Output::Table, None) => print(entries_text(overview.entries(), &foreign))?,
            (Output::Table, Some(key)) => print(groups_table(key.heading(), &overview.groups(key.into())))?,
            (output, None) => {
                context.print_json_items(output, COMMAND, &result, &with_foreign(&overview, &foreign))?;
            }
            (output, Some(key)) => {
                context.print_json_items(output, COMMAND, &result, &overview.groups(key.into()))?;
            }
        }
        report_queue(&overview, scan.as_ref());
        result
    }
}

impl GroupKey {
    /// Returns the heading of the column.
    fn heading(self) -> &'static str {
        match self {
            Self::Issue => "ISSUE",
            Self::Device => "DEVICE",
            Self::Stage => "STAGE",
            Self::Partition => "PARTITION",
        }
    }
}

impl From<GroupKey> for GroupBy {
    fn from(key: GroupKey) -> Self {
        match key {
            GroupKey::Issue => Self::Issue,
            GroupKey::Device => Self::Device,
            GroupKey::Stage => Self::Stage,
            GroupKey::Partition => Self::Partition,
        }
    }
}

async fn peek(queue: &dyn DeadLetterQueue, overview: &mut Overview) -> Result<(), CommandError> {
    let messages = queue.peek(MAX_RECEIVE_COUNT).await.map_err(CommandError::not_started)?;
    for message in messages {
        overview.add(&Entry::parse(message));
    }
    Ok(())
}

/// Returns the dead letters, and after them the messages that are not dead letters.
fn with_foreign(overview: &Overview, foreign: &[Summary]) -> Vec<ListEntry> {
    let foreign = foreign.iter().map(|summary| ListEntry { summary: summary.clone(), repeats: 0 });
    overview.entries().iter().cloned().chain(foreign).collect()
}

fn entries_text(entries: &[ListEntry], foreign: &[Summary]) -> String {
    let has_repeats = entries.iter().any(|entry| entry.repeats > 0);
    let has_replays = entries.iter().any(|entry| entry.summary.replays > 0);
    let mut head = vec!["ID", "FAILED (UTC)", "STAGE", "DEVICE", "PARTITION", "SEQUENCE"];
    head.extend(has_replays.then_some("REPLAYS"));
    head.extend(has_repeats.then_some("REPEATS"));
    head.push("ISSUE");
    let mut table = Table::new(head);
    for ListEntry { summary, repeats } in entries {
        let mut row = vec![
            short_id(summary.id.as_deref().unwrap_or_default()),
            summary.time.clone(),
            summary.stage.map(|stage| stage.to_string()).unwrap_or_default(),
            summary.device().unwrap_or_default().to_owned(),
            summary.partition_id.clone(),
            summary.sequence_number.map(|number| number.to_string()).unwrap_or_default(),
        ];
        row.extend(has_replays.then(|| summary.replays.to_string()));
        row.extend(has_repeats.then(|| repeats.to_string()));
        add_row(&mut table, row, &summary.issue);
    }
    // Without dead letters, only the count on standard error: a script reads no row.
    let text = if entries.is_empty() { String::new() } else { table.to_string() };
    if foreign.is_empty() {
        return text;
    }
    let mut table = Table::new(["MESSAGE", "INSERTED (UTC)", "NOT A DEAD LETTER"]);
    for Summary { message_id, inserted_time, issue, .. } in foreign {
        add_row(&mut table, vec![message_id.clone(), inserted_time.clone()], issue);
    }
    if text.is_empty() { table.to_string() } else { format!("{text}\n{table}") }
}

/// Returns groups as a table; the last column has this heading.
pub(super) fn groups_table(heading: &str, groups: &[Group]) -> Table {
    let mut table = Table::new(["COUNT", "FIRST (UTC)", "LAST (UTC)", "EXAMPLE", heading]);
    for Group { value, count, first, last, example, .. } in groups {
        let name = if value.is_empty() { "unknown" } else { value };
        table.row([count.to_string(), first.clone(), last.clone(), short_id(example), name.to_owned()]);
    }
    table
}

/// Prints facts about the queue on standard error.
fn report_queue(overview: &Overview, scan: Option<&ScanSummary>) {
    let mut facts = vec![count_of(overview.entries().len() as u64, "dead letter")];
    match (overview.repeats(), overview.entries().len()) {
        (0, _) => {}
        (1, 1) => facts.push("1 more message repeats it".into()),
        (1, _) => facts.push("1 more message repeats one of them".into()),
        (repeats, 1) => facts.push(format!("{repeats} more messages repeat it")),
        (repeats, _) => facts.push(format!("{repeats} more messages repeat them")),
    }
    match overview.unmatched() {
        0 => {}
        1 => facts.push("1 message does not match the filter".into()),
        unmatched => facts.push(format!("{unmatched} messages do not match the filter")),
    }
    match overview.foreign().len() {
        0 => {}
        1 => facts.push("1 message is not a dead letter".into()),
        foreign => facts.push(format!("{foreign} messages are not dead letters")),
    }
    print_message(format_args!("{}.", facts.join("; ")));
    let set_aside = overview.entries().iter().filter(|entry| entry.summary.replays >= MAX_REPLAYS).count();
    if set_aside > 0 {
        let pronoun = if set_aside == 1 { "it" } else { "them" };
        print_message(format_args!(
            "{} failed in {MAX_REPLAYS} replays or more: `dead-letters replay` skips {pronoun} unless selected by id.",
            count_of(set_aside as u64, "dead letter")
        ));
    }
    if let Some(time) = overview.first_expiration() {
        print_message(format_args!(
            "The first one expires at {time}: to keep the dead letters, run `dead-letters export`."
        ));
    }
    match scan {
        Some(scan) if scan.received > 0 && scan.still_hidden + scan.lost == 0 => print_message(
            "All messages were received and made visible again, which increased their dequeue counts; --peek does not.",
        ),
        Some(_) => {}
        None => print_message(format_args!("Only the first {MAX_RECEIVE_COUNT} messages were read.")),
    }
}

/// Returns the digits of an id that tables show, which are enough to select it.
pub(super) fn short_id(id: &str) -> String {
    id.chars().take(SHORT_ID_DIGITS).collect()
}

/// Adds a row that ends with an issue: complete, because the remedy is at its end. On a terminal a long issue has several lines.
fn add_row(table: &mut Table, row: Vec<String>, issue: &str) {
    if !io::stdout().is_terminal() {
        return table.row(row.into_iter().chain([issue.to_owned()]));
    }
    let columns = row.len();
    let mut lines = wrapped(issue, MAX_ISSUE_CHARS).into_iter();
    table.row(row.into_iter().chain([lines.next().unwrap_or_default()]));
    for line in lines {
        table.row(vec![String::new(); columns].into_iter().chain([line]));
    }
}

/// Splits a text into lines of at most `width` characters, at spaces if there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let characters: Vec<char> = word.chars().collect();
        for (index, part) in characters.chunks(width).enumerate() {
            let line = lines.last_mut().expect("there is a first line");
            let used = line.chars().count();
            if line.is_empty() {
                line.extend(part);
            } else if index == 0 && used + 1 + part.len() <= width {
                line.push(' ');
                line.extend(part);
            } else {
                lines.push(part.iter().collect());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_issue_is_split_at_spaces_and_words_that_are_too_long_anywhere() {
        for (text, lines) in [
            ("", &[""][..]),
            ("one two", &["one two"]),
            ("one two three", &["one two", "three"]),
            ("a longer-than-that b", &["a", "longer-t", "han-that", "b"]),
            ("\u{e9}\u{e9}\u{e9}\u{e9} \u{e9}\u{e9}\u{e9}", &["\u{e9}\u{e9}\u{e9}\u{e9} \u{e9}\u{e9}\u{e9}"]),
        ] {
            assert_eq!(wrapped(text, 8), lines, "{text:?}");
        }
    }
}
