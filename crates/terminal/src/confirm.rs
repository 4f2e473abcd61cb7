//! Decides whether a command that changes something applies the change, asks first, or only shows it.

use std::io::{self, IsTerminal as _};

use crate::{CommandError, eprint};

/// The text that a dry run prints at its end.
pub const DRY_RUN_NOTICE: &str = "Dry run: nothing changed. Run again with `--yes` to apply.";

/// The options of a command that changes something, the same in every command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ConfirmOptions {
    /// Apply the change without asking
    #[arg(long, conflicts_with = "dry_run", help_heading = "Confirmation")]
    yes: bool,
    /// Show what would change, without asking or changing anything
    #[arg(long, help_heading = "Confirmation")]
    dry_run: bool,
}

/// How a command that changes something proceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMode {
    /// Apply the change.
    Apply,
    /// Show the change, ask, and apply it after a yes.
    Ask,
    /// Show the change, and apply nothing.
    DryRun,
}

impl ConfirmOptions {
    /// Returns how the command proceeds. Without options, it asks on a terminal, and is a dry run elsewhere.
    #[must_use]
    pub fn mode(self) -> ApplyMode {
        self.mode_on(io::stdin().is_terminal() && io::stderr().is_terminal())
    }

    fn mode_on(self, is_terminal: bool) -> ApplyMode {
        match (self.yes, self.dry_run) {
            (true, _) => ApplyMode::Apply,
            (false, false) if is_terminal => ApplyMode::Ask,
            _ => ApplyMode::DryRun,
        }
    }
}

/// Asks a question on the terminal, such as `Replay it?`, and returns whether the answer is yes.
///
/// # Errors
///
/// Standard input cannot be read.
pub async fn confirm(question: &str) -> Result<bool, CommandError> {
    eprint(&format!("{question} [y/N] "));
    // On another thread, so that the caller can handle Ctrl-C meanwhile.
    let answer = tokio::task::spawn_blocking(|| io::stdin().lines().next().transpose()).await;
    let answer = answer.map_err(CommandError::not_started)?.map_err(CommandError::not_started)?.unwrap_or_default();
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_applied_with_yes_asked_for_on_a_terminal_and_a_dry_run_elsewhere() {
        let mode = |yes, dry_run, is_terminal| ConfirmOptions { yes, dry_run }.mode_on(is_terminal);
        assert_eq!([true, false].map(|terminal| mode(true, false, terminal)), [ApplyMode::Apply; 2]);
        assert_eq!([true, false].map(|terminal| mode(false, true, terminal)), [ApplyMode::DryRun; 2]);
        assert_eq!([true, false].map(|terminal| mode(false, false, terminal)), [ApplyMode::Ask, ApplyMode::DryRun]);
    }
}
