//! `dead-letters discard`.

use clap::Args;
use devicestate_dead_letters::{Action, AuditWriter, Discard, Filter, GroupBy, Overview, ScanSummary};
use devicestate_engine::clock::{Clock as _, System};
use devicestate_terminal::{
    ApplyMode, CommandError, ConfirmOptions, DRY_RUN_NOTICE, Output, OutputOption, confirm, count_of, eprint, print,
};
use serde::Serialize;

use super::{
    context::Context,
    find::check_ids,
    list::groups_table,
    progress::{self, has_exit_code_2},
    select::Selection,
};

pub(super) const COMMAND: &str = "dead-letters discard";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters discard 0af1c2d4 --dry-run
  devicestate dead-letters discard --stage deserialize --since 2h --yes
  devicestate dead-letters discard --device drone-7 --sequence-numbers ..4711

On a terminal the command shows the causes and how many messages match, and asks. Without a terminal and \
without --yes it is a dry run. A message that is not a dead letter is deleted only by --message \
MESSAGE_ID; `list` shows that id. Blobs and files of large dead letters are kept, because another \
message may refer to them.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Select every dead letter
    #[arg(long, help_heading = "Selection")]
    all: bool,
    #[command(flatten)]
    confirm: ConfirmOptions,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

/// The result, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscardResult {
    dry_run: bool,
    matched: u64,
    discarded: u64,
}

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let filter = self.selection.filter(System.now_ms());
        if filter.is_unrestricted() && !self.all {
            return Err(CommandError::not_started(
                "no dead letters are selected: use ids, a filter such as --device, or --all",
            ));
        }
        check_ids(context, &filter).await?;
        let mode = self.confirm.mode();
        let answer = if mode == ApplyMode::Ask { ask(context, &filter).await? } else { None };
        if answer == Some(false) && self.output.output == Output::Table {
            return print("Nothing changed.\n");
        }
        let audit = (mode == ApplyMode::Apply || answer == Some(true))
            .then(|| context.audit_writer(Action::Discard, None))
            .transpose()?;
        self.discard(context, &filter, audit.as_ref()).await
    }

    async fn discard(
        &self,
        context: &Context,
        filter: &Filter,
        audit: Option<&AuditWriter>,
    ) -> Result<(), CommandError> {
        let (scan, discard, result) = scan(context, filter, audit).await;
        let matched = discard.matched;
        if scan.received == 0 && result.is_err() {
            return result;
        }
        let result = result
            .and_then(|()| progress::check_not_stopped(scan))
            .and_then(|()| progress::check_all_found(filter.ids.len() + filter.messages.len(), matched));
        let text = if audit.is_some() {
            format!("{} discarded\n", count_of(scan.deleted, "message"))
        } else {
            let notice = if matched > 0 { format!("{DRY_RUN_NOTICE}\n") } else { String::new() };
            format!("{}{} would be discarded\n{notice}", causes(&discard), count_of(matched, "message"))
        };
        match self.output.output {
            Output::Table => print(text)?,
            // With exit code 2, standard output stays empty.
            _ if has_exit_code_2(&result) => eprint(&text),
            output => {
                let data = DiscardResult { dry_run: audit.is_none(), matched, discarded: scan.deleted };
                context.print_json(output, COMMAND, &result, &data)?;
            }
        }
        progress::report_audit_trail(audit, scan.deleted);
        result
    }
}

async fn scan<'a>(
    context: &Context,
    filter: &'a Filter,
    audit: Option<&'a AuditWriter>,
) -> (ScanSummary, Discard<'a>, Result<(), CommandError>) {
    let mut discard = Discard { filter, audit, matched: 0, overview: Overview::default() };
    let (scan, result) = progress::scan_partially(context, None, &mut discard).await;
    (scan, discard, result)
}

/// Returns the causes of the matching dead letters as a table, if there are any.
fn causes(discard: &Discard<'_>) -> String {
    match &discard.overview.groups(GroupBy::Issue)[..] {
        [] => String::new(),
        groups => format!("{}\n", groups_table("ISSUE", groups)),
    }
}

/// Counts the messages that match, and asks whether to delete them; `None` if there are none.
async fn ask(context: &Context, filter: &Filter) -> Result<Option<bool>, CommandError> {
    let (summary, discard, result) = scan(context, filter, None).await;
    result?;
    progress::check_not_stopped(summary)?;
    if discard.matched == 0 {
        return Ok(None);
    }
    eprint(&causes(&discard));
    progress::unless_stopped(confirm(&format!("Discard {}?", count_of(discard.matched, "message")))).await.map(Some)
}
