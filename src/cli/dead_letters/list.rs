//! `dead-letters list`.

use clap::{Args, ValueEnum};
use devicestate_dead_letters::{Entry, Group, GroupBy, Listed, MOST_REPLAYS, Overview, Summary, Swept};
use devicestate_engine::{
    clock::{Clock as _, System},
    queue::{DeadLetterQueue, MAX_RECEIVE_COUNT},
};
use devicestate_terminal::{CommandError, Format, Table, print};
use serde::Serialize;

use super::{
    place::Place,
    select::Selection,
    way::{self, counted},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters list --group-by issue
  devicestate dead-letters list --device drone-7 --since 2h
  devicestate dead-letters list --issue 'flight mode' --format json
  devicestate dead-letters list --peek")]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Count them in groups.
    #[arg(long, value_enum)]
    group_by: Option<By>,
    /// Only look at the first 32 messages, and leave them untouched.
    #[arg(long)]
    peek: bool,
    /// Look at the copy of the queue in the other region (RA-GRS): its first 32 messages.
    #[arg(long)]
    secondary: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Issue,
    Device,
    Stage,
    Partition,
}

/// An id is told so far in a table, which is enough to name it.
const ID_DIGITS: usize = 12;

/// An issue is told so far in a table.
const ISSUE: usize = 80;

impl Options {
    pub(super) async fn run(self, place: &Place, format: Format) -> Result<(), CommandError> {
        let filter = self.selection.filter(System.now_ms());
        let mut overview = Overview::new(filter.clone());
        let swept = if self.secondary {
            peek(&place.secondary()?, &mut overview).await?;
            None
        } else if self.peek {
            peek(&*place.queue, &mut overview).await?;
            None
        } else {
            Some(way::go(place, None, &mut overview).await?)
        };
        let foreign: Vec<_> = overview.foreign().iter().filter(|summary| filter.exports(summary)).cloned().collect();
        match (format, self.group_by) {
            (Format::Json, None) => print_json(&rows(&overview, &foreign))?,
            (Format::Json, Some(by)) => print_json(&overview.groups(by.into()))?,
            (Format::Table, None) => print(letters(overview.letters(), &foreign))?,
            (Format::Table, Some(by)) => print(groups(by, &overview.groups(by.into())))?,
        }
        tell(&overview, swept.as_ref());
        swept.map_or(Ok(()), way::whole)
    }
}

impl From<By> for GroupBy {
    fn from(by: By) -> Self {
        match by {
            By::Issue => Self::Issue,
            By::Device => Self::Device,
            By::Stage => Self::Stage,
            By::Partition => Self::Partition,
        }
    }
}

async fn peek(queue: &dyn DeadLetterQueue, overview: &mut Overview) -> Result<(), CommandError> {
    let messages = queue.peek(MAX_RECEIVE_COUNT).await.map_err(CommandError::not_started)?;
    for message in messages {
        overview.add(&Entry::read(message));
    }
    Ok(())
}

/// Each dead letter, and behind them the messages that are none.
fn rows(overview: &Overview, foreign: &[Summary]) -> Vec<Listed> {
    let foreign = foreign.iter().map(|summary| Listed { summary: summary.clone(), repeats: 0 });
    overview.letters().iter().cloned().chain(foreign).collect()
}

fn print_json(rows: &[impl Serialize]) -> Result<(), CommandError> {
    print(serde_json::to_string_pretty(rows).map_err(CommandError::failed)? + "\n")
}

fn letters(letters: &[Listed], foreign: &[Summary]) -> String {
    let repeats = letters.iter().any(|letter| letter.repeats > 0);
    let replays = letters.iter().any(|letter| letter.summary.replays > 0);
    let mut head = vec!["ID", "FAILED (UTC)", "STAGE", "DEVICE", "PARTITION", "SEQUENCE"];
    head.extend(replays.then_some("REPLAYS"));
    head.extend(repeats.then_some("REPEATS"));
    head.push("ISSUE");
    let mut table = Table::new(head);
    for Listed { summary, repeats: repeated } in letters {
        let mut row = vec![
            short_id(summary.id.as_deref().unwrap_or_default()),
            summary.time.clone(),
            summary.stage.map(|stage| stage.to_string()).unwrap_or_default(),
            summary.device().unwrap_or_default().to_owned(),
            summary.partition_id.clone(),
            summary.sequence_number.map(|number| number.to_string()).unwrap_or_default(),
        ];
        row.extend(replays.then(|| summary.replays.to_string()));
        row.extend(repeats.then(|| repeated.to_string()));
        row.push(shortened(&summary.issue));
        table.row(row);
    }
    let text = if letters.is_empty() { "no dead letters\n".to_owned() } else { table.to_string() };
    if foreign.is_empty() {
        return text;
    }
    let mut table = Table::new(["MESSAGE", "PUT (UTC)", "NOT A DEAD LETTER"]);
    for Summary { message_id, inserted_time, issue, .. } in foreign {
        table.row([message_id.clone(), inserted_time.clone(), shortened(issue)]);
    }
    format!("{text}\n{table}")
}

fn groups(by: By, groups: &[Group]) -> Table {
    let head = match by {
        By::Issue => "ISSUE",
        By::Device => "DEVICE",
        By::Stage => "STAGE",
        By::Partition => "PARTITION",
    };
    let mut table = Table::new(["COUNT", "FIRST (UTC)", "LAST (UTC)", "EXAMPLE", head]);
    for Group { group, count, first, last, example } in groups {
        let name = if group.is_empty() { "not known" } else { group };
        table.row([count.to_string(), first.clone(), last.clone(), short_id(example), name.to_owned()]);
    }
    table
}

/// What is to be known of the queue, apart from what was asked for.
fn tell(overview: &Overview, swept: Option<&Swept>) {
    let some = |count: u64, before: &str, behind: &str| {
        let messages = counted(count, "message");
        if count > 0 { format!("{before}{messages}{behind}") } else { String::new() }
    };
    eprintln!(
        "{}{}{}{}.",
        counted(overview.letters().len() as u64, "dead letter"),
        some(overview.repeats(), ", and ", " more that repeat them"),
        some(overview.others(), "; ", " that do not match"),
        some(overview.foreign().len() as u64, "; ", " not of this product"),
    );
    let often = overview.letters().iter().filter(|letter| letter.summary.replays >= MOST_REPLAYS).count();
    if often > 0 {
        eprintln!(
            "{often} of them failed in {MOST_REPLAYS} replays or more: `dead-letters replay` sets those aside, unless \
             they are named by their ids."
        );
    }
    if let Some(time) = overview.first_expiration() {
        eprintln!("The queue forgets the first of them at {time}: `dead-letters export` keeps them.");
    }
    match swept {
        Some(swept) if swept.seen > 0 && swept.hidden + swept.gone == 0 => eprintln!(
            "All were received for this and given back, so their dequeue counts rose; --peek would not do that."
        ),
        Some(_) => {}
        None => eprintln!("This was a peek, which shows the first {MAX_RECEIVE_COUNT} messages at the most."),
    }
}

/// An id as tables tell it.
pub(super) fn short_id(id: &str) -> String {
    short(id, ID_DIGITS)
}

fn short(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn shortened(text: &str) -> String {
    if text.chars().count() > ISSUE { short(text, ISSUE - 1) + "…" } else { text.to_owned() }
}
