//! `devicestate local --drill`: how the drill goes, and its verdict.

use std::fmt;

use devicestate_local::drill::{self, DrillError, Step, Verdict};
use devicestate_terminal::{CommandError, Table, print};

use super::report::ReportFormat;

/// Runs the drill: each step is told when it is done, unless the report is JSON, which stands alone.
pub(super) async fn run(
    options: devicestate_local::Options,
    rewinds: bool,
    format: ReportFormat,
) -> Result<(), CommandError> {
    let mut number = 0;
    let tell = |step: &Step| {
        number += 1;
        if format == ReportFormat::Text {
            // A reader that went away is no reason to stop in the middle.
            let _ = print(format!("{number:2}  {:<20}  {}\n", step.what, step.came_of_it));
        }
    };
    let verdict = drill::run(options, rewinds, tell).await.map_err(|error| match error {
        DrillError::Begin(error) => CommandError::not_started(error),
        other => CommandError::failed(other),
    })?;
    match format {
        ReportFormat::Json => print(serde_json::to_string_pretty(&verdict).map_err(CommandError::failed)? + "\n")?,
        ReportFormat::Text => print(Text(&verdict))?,
    }
    if verdict.is_passed() {
        Ok(())
    } else {
        Err(CommandError::failed("the drill has not ended as it should: see the verdict"))
    }
}

/// The verdict for people.
struct Text<'a>(&'a Verdict);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let verdict = self.0;
        let mut rows = Table::new(["VERDICT", ""]);
        for (name, count) in [
            ("events that reached the first hub", verdict.events_of_first),
            ("events that reached the standby's", verdict.events_of_standby),
            ("readings lost by the failover of the store", verdict.readings_lost as u64),
            ("events read again", verdict.read_again),
            ("documents", verdict.devices as u64),
            ("  that differ from the fold of all events of both hubs", verdict.differences as u64),
            ("bad events", verdict.bad_events as u64),
            ("  that are in no dead-letter queue", verdict.dead_letters_missing as u64),
        ] {
            rows.row([name.to_owned(), count.to_string()]);
        }
        writeln!(f, "\n{rows}")?;
        for line in &verdict.different {
            writeln!(f, "  {line}")?;
        }
        if !verdict.was_a_drill() {
            writeln!(f, "Nothing was lost that could have come back: give it more --events.")?;
        }
        writeln!(f, "{}", if verdict.is_passed() { "PASSED" } else { "FAILED" })?;
        for state in &verdict.states {
            writeln!(f, "Look at it with:  devicestate dead-letters list --state {}", state.display())?;
        }
        Ok(())
    }
}
