//! `devicestate local` and `devicestate drill` in a build without them, such as the deployed one.

use clap::Args;
use devicestate_terminal::CommandError;

#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = "not in this build: see docs/operate/package.md")]
pub(super) struct Options {
    /// The options of a build with the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _options: Vec<String>,
}

impl Options {
    #[expect(clippy::unused_async, reason = "a build with the command runs the system here")]
    pub(super) async fn run(self) -> Result<(), CommandError> {
        Err(CommandError::not_started(
            "this build has no `local` and no `drill`: the deployed build has no stand-in host. Run `cargo run -- local` in \
             the repository, or build with --features local",
        ))
    }
}
