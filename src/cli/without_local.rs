//! `devicestate local` in a build without it, such as the one that is deployed.

use clap::Args;
use devicestate_terminal::CommandError;

#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = "not in this build: see docs/operate/package.md")]
pub(super) struct Options {
    /// Whatever a build with it would take.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _options: Vec<String>,
}

impl Options {
    #[expect(clippy::unused_async, reason = "a build with it runs the system here")]
    pub(super) async fn run(self) -> Result<(), CommandError> {
        Err(CommandError::not_started(
            "this build has no `local`: it is the one to deploy, with no stand-in host in it. Run \
             `cargo run -- local` in the repository, or build with --features local",
        ))
    }
}
